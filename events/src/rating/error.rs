//! Why leaves cannot be rated.

/// A log that does not follow the rule, or a question that it cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RatingError {
    /// A leaf that money follows from is not what its type says.
    #[error("leaf {index} is no `{kind}` that can be rated: {reason}")]
    Shape {
        /// Where it stands.
        index: u64,
        /// Its type.
        kind: String,
        /// What is wrong.
        reason: String,
    },
    /// Leaves came in another order than that of the log.
    #[error("leaf {index} came behind leaf {last}: leaves are rated in the order of the log")]
    Order {
        /// The one that came.
        index: u64,
        /// The one before.
        last: u64,
    },
    /// Prices or periods of what is closed would change.
    #[error(
        "leaf {index} reaches back to {from} ms, into the period {period} that is closed: \
         prices and periods begin where the closed ones end"
    )]
    Retroactive {
        /// The leaf.
        index: u64,
        /// From when on it would hold.
        from: i64,
        /// The period.
        period: String,
    },
    /// A closing at a size that was not announced, with usage behind it.
    #[error(
        "the closing of {period} at leaf {index} counts {size} leaves, and usage behind them was \
         taken in already: announce closings first (`foresee` or `cut_at`)"
    )]
    Unforeseen {
        /// The period.
        period: String,
        /// Where its closing stands.
        index: u64,
        /// Leaves that it counts.
        size: u64,
    },
    /// A statement at a size that lies behind.
    #[error("leaf {last} was taken in already, a statement over {size} leaves is gone by")]
    Passed {
        /// The size that was asked for.
        size: u64,
        /// The last leaf that was taken in.
        last: u64,
    },
    /// A closed period at another size.
    #[error("{period} was closed with {closed} leaves: a statement with {size} is none of it")]
    Closed {
        /// The period.
        period: String,
        /// The size of its closing.
        closed: u64,
        /// The size that was asked for.
        size: u64,
    },
    /// No such period.
    #[error("there is no period {period} in the first {size} leaves")]
    UnknownPeriod {
        /// Its name.
        period: String,
        /// How many leaves were looked at.
        size: u64,
    },
    /// Money of two currencies.
    #[error("the card or contract {name} is in {found}, the period in {wanted}")]
    Currency {
        /// The card or contract.
        name: String,
        /// Its currency with its digits.
        found: String,
        /// That of the period.
        wanted: String,
    },
    /// Figures that no machine number holds.
    #[error("{what} is larger than 127 bits")]
    TooLarge {
        /// Which.
        what: &'static str,
    },
    /// What was streamed does not come back whole and in order.
    #[error(
        "row {row} of the usage stands in the wrong place: rows are given back sorted, each once"
    )]
    Rows {
        /// How many were given before it.
        row: u64,
    },
    /// A document cannot be written.
    #[error("the invoice cannot be written: {0}")]
    Document(String),
}
