//! Long lists, a page at a time.

use std::collections::VecDeque;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::ClientError;
use super::request::{Client, query};

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the page behind it.
    #[serde(default = "none")]
    pub next: Option<String>,
}

fn none() -> Option<String> {
    None
}

/// A list, read as far as somebody wants it.
pub struct Pages<'a, T> {
    client: &'a Client,
    path: String,
    filters: Vec<(&'a str, Option<String>)>,
    ready: VecDeque<T>,
    /// The cursor of what comes next; none: nothing does.
    next: Option<Option<String>>,
    limit: usize,
}

impl Client {
    /// The list at a path, narrowed by these filters, so many items a page.
    pub fn pages<'a, T: DeserializeOwned>(
        &'a self,
        path: &str,
        filters: &[(&'a str, Option<String>)],
        limit: usize,
    ) -> Pages<'a, T> {
        Pages {
            client: self,
            path: path.to_string(),
            filters: filters.to_vec(),
            ready: VecDeque::new(),
            next: Some(None),
            limit: limit.clamp(1, 500),
        }
    }
}

impl<T: DeserializeOwned> Pages<'_, T> {
    /// The next item.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            let Some(cursor) = self.next.take() else { return Ok(None) };
            let mut pairs = self.filters.clone();
            pairs.push(("limit", Some(self.limit.to_string())));
            pairs.push(("cursor", cursor));
            let path = format!("{}{}", self.path, query(&pairs));
            let page: Page<T> = self.client.get(&path).await?;
            self.ready = page.items.into();
            self.next = page.next.map(Some);
        }
    }

    /// At most so many of what is left.
    pub async fn take(mut self, most: usize) -> Result<Vec<T>, ClientError> {
        let mut items = Vec::new();
        while items.len() < most {
            let Some(item) = self.next().await? else { break };
            items.push(item);
        }
        Ok(items)
    }
}
