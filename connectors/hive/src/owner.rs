//! A table's folder belongs to one table (rule 17): `_salamander/owner.json`, made by create-if-absent.

use crate::error::{At, HiveError, Result};
use crate::layout::{HIDDEN_FOLDER, TableLayout};
use object_store::{ObjectStoreExt, PutMode, PutOptions};
use salamander_types::TableId;
use serde::{Deserialize, Serialize};

const OWNER_FORMAT: u32 = 1;

/// What stands in the owner object.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    format: u32,
    table: TableId,
    name: String,
}

/// Claims the table's folder, once before the first write; claiming again is fine.
///
/// # Errors
/// [`HiveError::Owned`] if the folder belongs to another table; otherwise when the store fails.
pub async fn claim_folder(layout: &TableLayout) -> Result<()> {
    let path = format!("{HIDDEN_FOLDER}/owner.json");
    let place = layout.place(&path);
    let object = layout.object(&path)?;
    let owner = Owner { format: OWNER_FORMAT, table: layout.id.clone(), name: layout.name.clone() };
    let text = serde_json::to_vec_pretty(&owner).map_err(|e| HiveError::invalid(&place, format!("owner: {e}")))?;
    let store = &layout.location.store;
    let put = store.put_opts(&object, text.into(), PutOptions::from(PutMode::Create)).await;
    match put {
        Ok(_) => return Ok(()),
        Err(object_store::Error::AlreadyExists { .. }) => {}
        Err(error) => return Err(error).at(place),
    }
    let bytes = store.get(&object).await.at(&place)?.bytes().await.at(&place)?;
    let found: Owner = serde_json::from_slice(&bytes)
        .map_err(|e| HiveError::corrupt(&place, format!("not an owner object of this engine: {e}")))?;
    if found.format != OWNER_FORMAT {
        let message = format!("format {}, this build reads {OWNER_FORMAT}: use the build that wrote it", found.format);
        return Err(HiveError::corrupt(place, message));
    }
    if found.table != layout.id {
        return Err(HiveError::Owned {
            place: layout.location.root.to_string(),
            owner_name: found.name,
            owner_id: found.table.to_string(),
        });
    }
    Ok(())
}
