//! Codes of findings that only rate cards and contracts have. What is wrong with a file as a YAML
//! file has the codes of DAG files. Codes are stable: one that is retired is not reused.

use crate::dag::codes::Code;

macro_rules! codes {
    ($($name:ident = $id:literal, $meaning:literal;)*) => {
        $(pub(crate) static $name: Code = Code { id: $id, meaning: $meaning };)*

        /// All codes in order, for the reference and its test.
        pub static ALL: &[&Code] = &[$(&$name),*];
    };
}

codes! {
    FILE_TOO_LARGE = "E701", "A rate card or contract of more than 24 KiB.";
    BAD_DECIMAL = "E702", "A price, an amount or a part that is no decimal number, or has too many decimals.";
    UNKNOWN_CURRENCY = "E703", "A currency that ISO 4217 does not have.";
    SHADOWED = "E704", "A price that never holds, because one above it always does.";
    BAD_STEPS = "E705", "Steps of a price that do not ascend, or do not end.";
    TOO_MANY = "E706", "More prices, steps or parts than a file may have.";
    NOT_THIS_METER = "E707", "A condition that means nothing for this meter.";
    AWAY_FROM_LIST = "E708", "A price that is not that of its first step.";
}
