use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

/// Who is logged in, by the cookie that their browser has. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<String, String>>>);

/// The most sessions at once.
const SESSIONS: usize = 10_000;
const NAME: &str = "session";

// === impl Sessions ===

impl Sessions {
    /// Logs somebody in, and gives the cookie to set; `None` where there are too many already.
    pub(crate) fn begin(&self, user: String) -> Option<String> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).ok()?;
        let id = format!("{:032x}", u128::from_ne_bytes(bytes));
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= SESSIONS {
            return None;
        }
        let cookie = format!("{NAME}={id}; HttpOnly; SameSite=Lax; Path=/");
        users.insert(id, user);
        Some(cookie)
    }

    /// Who sent a request with these fields.
    pub(crate) fn user(&self, headers: &HeaderMap) -> Option<String> {
        let users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find_map(|(name, id)| users.get(id).filter(|_| name == NAME).cloned())
    }
}
