//! How a list of event types is recorded: the type's name beside its data as one object.

/// Makes an enum of event types, and how each is recorded. The data are what serde makes of the
/// struct; members that a reader does not know are left alone, because later programs may add
/// some that change nothing for it.
macro_rules! recorded_events {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident($data:ty) = $kind:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$each])* $variant($data),)*
        }

        impl crate::aggregate::AggregateEvent for $name {
            fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $kind,)*
                }
            }

            fn to_data(&self) -> serde_json::Map<String, serde_json::Value> {
                let value = match self {
                    $(Self::$variant(data) => serde_json::to_value(data),)*
                };
                match value {
                    Ok(serde_json::Value::Object(data)) => data,
                    // Plain data with text keys is always an object.
                    _ => serde_json::Map::new(),
                }
            }

            fn read(
                kind: &str,
                data: &serde_json::Map<String, serde_json::Value>,
            ) -> Result<Option<Self>, String> {
                let data = || serde_json::Value::Object(data.clone());
                match kind {
                    $($kind => serde_json::from_value(data())
                        .map(|data| Some(Self::$variant(data)))
                        .map_err(|error| format!("{kind}: {error}")),)*
                    _ => Ok(None),
                }
            }
        }
    };
}

pub(crate) use recorded_events;
