//! Every code that a finding can carry. Codes are stable: one that is retired is not reused.

use super::finding::Severity;

/// A kind of finding.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// `E101`, `W103`, ….
    pub id: &'static str,
    /// One line for the reference.
    pub meaning: &'static str,
}

impl Code {
    /// Errors keep a file from being used; warnings do not.
    pub fn severity(&self) -> Severity {
        if self.id.starts_with('E') { Severity::Error } else { Severity::Warning }
    }
}

macro_rules! codes {
    ($($name:ident = $id:literal, $meaning:literal;)*) => {
        $(pub(crate) static $name: Code = Code { id: $id, meaning: $meaning };)*

        /// All codes in order, for the reference and its test.
        pub static ALL: &[&Code] = &[$(&$name),*];
    };
}

codes! {
    // Text
    TOO_LARGE = "E001", "The file is larger than 1 MiB.";
    NOT_UTF8 = "E002", "The file is not UTF-8.";
    CONTROL_CHARACTER = "E003", "The file holds a NUL or another control character.";
    SYNTAX = "E004", "The text is not YAML (or JSON).";
    DUPLICATE_KEY = "E005", "A mapping has the same key twice.";
    TOO_DEEP = "E006", "The file is nested deeper than 64 levels.";
    ALIAS_BUDGET = "E007", "The file, with its aliases expanded, has more than 250,000 nodes.";
    MERGE_KEY = "E008", "A merge key (`<<`) is used; YAML 1.2 has none.";
    SEVERAL_DOCUMENTS = "E009", "The file holds more than one document.";
    TAG = "E010", "A YAML tag (`!…`) is used.";
    EMPTY = "E011", "The file holds nothing.";
    BAD_KEY = "E012", "A key is not plain text.";
    TOO_MANY_FINDINGS = "E019", "More findings than can be shown.";
    // Shape
    UNKNOWN_KEY = "E101", "A key that the format does not have.";
    MISSING_KEY = "E102", "A key that must be there is not.";
    WRONG_TYPE = "E103", "A value of the wrong type.";
    BAD_NAME = "E104", "A name that breaks the rule for names.";
    NOT_A_CHOICE = "E105", "A word that is not one of the allowed ones.";
    OUT_OF_RANGE = "E106", "A number outside its range.";
    CONFLICT = "E107", "Keys that exclude each other.";
    VERSION = "E108", "The format version is missing or not supported.";
    BAD_DURATION = "E109", "A duration that cannot be read.";
    BAD_SIZE = "E110", "A size or an amount of CPU that cannot be read.";
    BAD_NUMBER = "E111", "A number that cannot be kept exactly.";
    BAD_PATTERN = "E112", "A regular expression that cannot be used.";
    BAD_CRON = "E113", "A cron expression that cannot be read.";
    UNKNOWN_ZONE = "E114", "A time zone that the IANA database does not have.";
    BAD_TIME = "E115", "A time that is not RFC 3339.";
    BAD_PATH = "E116", "A path that is empty, absolute or leaves its folder.";
    NO_ACTION = "E117", "A step that does nothing.";
    SEVERAL_ACTIONS = "E118", "A step that does several things.";
    NOTHING_IN_IT = "E119", "A list or mapping that must hold something is empty.";
    REPEATED = "E120", "The same thing is given twice.";
    BAD_VARIABLE = "E121", "A name that cannot be, or may not be, an environment variable.";
    // Graph
    UNKNOWN_NEED = "E201", "A step needs a step that does not exist.";
    CYCLE = "E202", "Steps need each other in a circle.";
    NEEDS_FINALLY = "E203", "A main step needs a `finally` step.";
    // Expressions
    EXPRESSION_SYNTAX = "E301", "An expression that cannot be read.";
    UNKNOWN_NAME = "E302", "A name that expressions do not have.";
    UNKNOWN_PARAM = "E303", "An expression reads a parameter that is not declared.";
    UNKNOWN_STEP = "E304", "An expression reads a step that does not exist.";
    NOT_UPSTREAM = "E305", "An expression reads a step that need not have ended by then.";
    UNKNOWN_OUTPUT = "E306", "An expression reads an output or artifact that is not declared.";
    EXPRESSION_IN_SCRIPT = "E307", "An expression in `run`, where text becomes program.";
    EXPRESSION_NOT_HERE = "E308", "An expression where none is allowed.";
    NAME_NOT_HERE = "E309", "A name that has no value at this place.";
    UNKNOWN_FUNCTION = "E310", "A filter, test or function that expressions do not have.";
    EVALUATION = "E311", "An expression that has no value when the plan is made.";
    // Parameters given
    PARAM_UNKNOWN = "E401", "A parameter is given that the file does not declare.";
    PARAM_MISSING = "E402", "A required parameter is not given.";
    PARAM_TYPE = "E403", "A parameter has the wrong type.";
    PARAM_RULE = "E404", "A parameter breaks a rule of its declaration.";
    // Sub-DAGs
    SUB_DAG_MISSING = "E501", "The file of a sub-DAG is not among the sources.";
    SUB_DAG_CYCLE = "E502", "Sub-DAG files call each other in a circle.";
    SUB_DAG_DEPTH = "E503", "Sub-DAG files are nested deeper than 8.";
    SUB_DAG_PARAM = "E504", "A sub-DAG is given a parameter it does not have, or lacks one.";
    // Limits
    TOO_MANY_STEPS = "E601", "More than 100,000 units of work in one run.";
    TOO_WIDE = "E602", "A fan-out wider than 50,000.";
    TOO_MANY_PARAMS = "E603", "More than 256 parameters.";
    // Warnings
    BOM = "W001", "The file starts with a byte order mark, which is ignored.";
    CRLF = "W002", "Lines end with CRLF; scripts get LF.";
    UNUSED_PARAM = "W101", "A parameter is declared that nothing reads.";
    NO_EFFECT = "W102", "A key that has no effect here.";
    NEVER_RETRIED = "W103", "`retry` says when to try again, but allows one attempt only.";
    NEVER_RUNS = "W104", "A step that can never run.";
    IMAGE_IGNORED = "W105", "An image for an executor that runs no containers.";
    LIKELY_SECRET = "W106", "A variable that looks like a secret, written in the file.";
}
