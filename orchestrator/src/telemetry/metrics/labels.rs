//! Labels, typed and bounded: what strangers can choose never makes more than so many series.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// A name that many series share without a copy of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(Arc::from(text))
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl EncodeLabelValue for Name {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        (&*self.0).encode(encoder)
    }
}

/// Names that have series of their own. Those that come after the first so many share `other`.
#[derive(Debug)]
pub struct Names {
    known: RwLock<BTreeSet<Name>>,
    most: usize,
    other: Name,
}

impl Names {
    /// At most so many.
    pub fn at_most(most: usize) -> Self {
        Self { known: RwLock::default(), most, other: Name::from("other") }
    }

    /// The label of a name. Allocates only where it is new.
    pub fn label(&self, text: &str) -> Name {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(text) {
            return name.clone();
        }
        if known.len() >= self.most {
            return self.other.clone();
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(text) && known.len() >= self.most {
            return self.other.clone();
        }
        let name = Name::from(text);
        known.insert(name.clone());
        name
    }
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty),* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
            pub struct $name { $(#[allow(missing_docs)] pub $field: $kind),* }
        )*
    };
}

labels! {
    /// Of a tenant.
    OfTenant { tenant: Name }
    /// Of a tenant, by how it ended.
    OfTenantStatus { tenant: Name, status: &'static str }
    /// Of a tenant, by what it is doing.
    OfTenantState { tenant: Name, state: &'static str }
    /// Of a tenant in a pool.
    OfTenantPool { tenant: Name, pool: Name }
    /// Of a budget.
    OfTenantBudget { tenant: Name, budget: Name }
    /// Of a pool.
    OfPool { pool: Name }
    /// Of an executor.
    OfExecutor { executor: Name }
    /// Of an executor, by how an attempt ended.
    OfOutcome { executor: Name, outcome: &'static str }
    /// By how it ended.
    OfStatus { status: &'static str }
    /// By whose fault.
    OfFault { fault: &'static str }
    /// By a reason's code.
    OfReason { reason: Name }
    /// Of an operation, by what went wrong.
    OfError { operation: &'static str, error: &'static str }
    /// Of a request.
    OfRequest { method: &'static str, route: Name, status: u16 }
    /// Of a route.
    OfRoute { route: Name }
    /// Of what was let go.
    OfWhat { what: &'static str }
    /// Of what was compared.
    OfComparison { comparison: &'static str }
    /// Of what is exported.
    OfSignal { signal: &'static str }
    /// Of the program.
    OfVersion { version: &'static str }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_share_one_series() {
        let names = Names::at_most(2);
        assert_eq!(names.label("a"), Name::from("a"));
        assert_eq!(names.label("b"), Name::from("b"));
        assert_eq!(names.label("c"), Name::from("other"));
        assert_eq!(names.label("a"), Name::from("a"), "those that were first keep theirs");
    }
}
