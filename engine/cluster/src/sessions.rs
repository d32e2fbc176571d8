//! What sessions have set: the database that `USE` chose.
//!
//! A session's id is never another's, so a setting can't be inherited. It goes when the session's connection does
//! ([`Databases::end`]), when it was not used for a day, or, with very many sessions, when it was idle longest.

use parking_lot::Mutex;
use salamander_serve::Session;
use std::collections::HashMap;
use std::time::Duration;

/// Sessions that are remembered.
const MOST: usize = 10_000;
/// A session that runs no statement for so long is forgotten.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug)]
struct Chosen {
    /// Who chose: calls of others may come over the same connection.
    principal: String,
    database: String,
    used_at: Duration,
}

/// The databases that sessions have chosen.
#[derive(Debug, Default)]
pub(crate) struct Databases(Mutex<HashMap<String, Chosen>>);

impl Databases {
    /// The database of a session that runs a statement now; none if it has chosen none.
    pub(crate) fn of(&self, session: &Session, now: Duration) -> Option<String> {
        let mut all = self.0.lock();
        let chosen = all.get_mut(&session.id).filter(|c| c.principal == session.principal)?;
        if is_idle(chosen, now) {
            all.remove(&session.id);
            return None;
        }
        chosen.used_at = now;
        Some(chosen.database.clone())
    }

    /// Sets the database of a session.
    pub(crate) fn choose(&self, session: &Session, database: &str, now: Duration) {
        let mut all = self.0.lock();
        if all.len() >= MOST && !all.contains_key(&session.id) {
            all.retain(|_, c| !is_idle(c, now));
            make_room(&mut all);
        }
        let chosen = Chosen { principal: session.principal.clone(), database: database.to_owned(), used_at: now };
        all.insert(session.id.clone(), chosen);
    }

    /// The session is over.
    pub(crate) fn end(&self, id: &str) {
        self.0.lock().remove(id);
    }
}

fn is_idle(chosen: &Chosen, now: Duration) -> bool {
    now.saturating_sub(chosen.used_at) > IDLE
}

fn make_room(all: &mut HashMap<String, Chosen>) {
    if all.len() >= MOST
        && let Some(idlest) = all.iter().min_by_key(|(_, c)| c.used_at).map(|(id, _)| id.clone())
    {
        all.remove(&idlest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: usize) -> Session {
        Session::internal(id.to_string())
    }

    #[test]
    fn a_choice_is_its_sessions_own_and_goes_with_it() {
        let databases = Databases::default();
        let second = Duration::from_secs(1);
        databases.choose(&session(1), "sales", second);
        assert_eq!(databases.of(&session(1), second).as_deref(), Some("sales"));
        assert_eq!(databases.of(&session(2), second), None);
        let other = Session { principal: "ada".to_owned(), ..session(1) };
        assert_eq!(databases.of(&other, second), None);
        databases.end("1");
        assert_eq!(databases.of(&session(1), second), None);
    }

    #[test]
    fn idle_sessions_are_forgotten_and_their_number_is_bounded() {
        let databases = Databases::default();
        databases.choose(&session(0), "sales", Duration::ZERO);
        assert!(databases.of(&session(0), IDLE).is_some());
        assert_eq!(databases.of(&session(0), IDLE * 2 + Duration::from_secs(1)), None);
        assert_eq!(databases.0.lock().len(), 0);
        for id in 0..MOST + 10 {
            databases.choose(&session(id), "sales", Duration::from_secs(id as u64));
        }
        assert_eq!(databases.0.lock().len(), MOST);
        let now = Duration::from_secs(MOST as u64 + 10);
        assert_eq!(databases.of(&session(9), now), None);
        assert!(databases.of(&session(10), now).is_some());
    }
}
