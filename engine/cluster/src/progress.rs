//! SHOW STATE and SHOW WATERMARKS: what jobs keep, and why a window is still open.

use crate::answers::Column;
use crate::error::HeadError;
use crate::head::Head;
use crate::jobs::job_id;
use crate::show::{count, timestamp};
use salamander_job::{JobStatus, SplitTime};
use salamander_sql::{Catalog, Name};

impl Head {
    /// The jobs with this name, or all of them, that have run in this process; with what they say of themselves.
    fn progress(&self, catalog: &Catalog, job: Option<&Name>) -> Result<Vec<(String, JobStatus)>, HeadError> {
        if let Some(name) = job
            && !catalog.jobs().any(|j| j.name == *name)
        {
            return Err(HeadError::not_found(format!("there is no job {name}: SHOW JOBS lists them")));
        }
        let mut jobs: Vec<_> = catalog.jobs().filter(|j| job.is_none_or(|name| j.name == *name)).collect();
        jobs.sort_by(|a, b| a.name.cmp(&b.name));
        let status = |id: &_| self.job_status(id);
        Ok(jobs.into_iter().filter_map(|j| Some((j.name.to_string(), status(&job_id(j))?))).collect())
    }

    pub(crate) fn show_state(&self, catalog: &Catalog, job: Option<&Name>) -> Result<Vec<Column>, HeadError> {
        let jobs = self.progress(catalog, job)?;
        let rows: Vec<_> = jobs.iter().flat_map(|(job, status)| status.state.iter().map(move |s| (job, s))).collect();
        Ok(vec![
            Column::Text("job", rows.iter().map(|(job, _)| Some((*job).clone())).collect()),
            Column::Text("operator", rows.iter().map(|(_, s)| Some(s.operator.clone())).collect()),
            Column::Text("keeps", rows.iter().map(|(_, s)| Some(s.what.clone())).collect()),
            Column::Number("panes", rows.iter().map(|(_, s)| count(s.panes as u64)).collect()),
            Column::Number("groups", rows.iter().map(|(_, s)| count(s.groups)).collect()),
            Column::Number("bytes", rows.iter().map(|(_, s)| count(s.bytes as u64)).collect()),
            Column::Text("oldest", rows.iter().map(|(_, s)| s.oldest.map(timestamp)).collect()),
            Column::Text("next_window_end", rows.iter().map(|(_, s)| s.next_end.map(timestamp)).collect()),
        ])
    }

    pub(crate) fn show_watermarks(&self, catalog: &Catalog, job: Option<&Name>) -> Result<Vec<Column>, HeadError> {
        let jobs = self.progress(catalog, job)?;
        let rows: Vec<_> =
            jobs.iter().flat_map(|(job, status)| status.splits.iter().map(move |s| (job, status, s))).collect();
        let source = |split: &SplitTime| {
            let table = catalog.tables().find(|table| table.id.as_str() == split.table.as_str());
            table.map_or_else(|| split.table.to_string(), |table| table.def.name.to_string())
        };
        let standing = |split: &SplitTime| match split {
            SplitTime { idle: true, .. } => "idle",
            SplitTime { holds: true, watermark: None, .. } => "holds: no row yet",
            SplitTime { holds: true, .. } => "holds",
            _ => "ahead",
        };
        // What a split holds up: the next window that has rows.
        let waits = |status: &JobStatus, split: &SplitTime| {
            let ends = status.state.iter().filter_map(|s| s.next_end);
            ends.min().filter(|_| split.holds).map(timestamp)
        };
        Ok(vec![
            Column::Text("job", rows.iter().map(|(job, ..)| Some((*job).clone())).collect()),
            Column::Text("job_watermark", rows.iter().map(|(_, status, _)| status.watermark.map(timestamp)).collect()),
            Column::Text("source", rows.iter().map(|(.., split)| Some(source(split))).collect()),
            Column::Text("split", rows.iter().map(|(.., split)| Some(split.split.to_string())).collect()),
            Column::Text("watermark", rows.iter().map(|(.., split)| split.watermark.map(timestamp)).collect()),
            Column::Text("standing", rows.iter().map(|(.., split)| Some(standing(split).to_owned())).collect()),
            Column::Text("moved_at", rows.iter().map(|(.., split)| split.moved_at.map(timestamp)).collect()),
            Column::Text("holds_window_until", rows.iter().map(|(_, status, split)| waits(status, split)).collect()),
        ])
    }
}
