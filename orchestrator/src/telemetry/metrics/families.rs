//! Every family of metrics, once: `/metrics`, OTLP, the document and the dashboard agree with
//! this table, and tests hold them to it.

/// What a family counts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows; its samples end in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often values up to each bound were seen.
    Histogram,
}

impl Kind {
    /// The word of the exposition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A family of metrics.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// As the exposition names it, without `_total`.
    pub name: &'static str,
    /// What it counts with.
    pub kind: Kind,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

macro_rules! families {
    ($($name:literal $kind:ident [$($label:literal),*] $help:literal;)*) => {
        /// Every family, in the order of the document.
        pub const FAMILIES: &[Family] = &[
            $(Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help },)*
        ];
    };
}

families! {
    "dagbook_runs_submitted" Counter ["tenant"] "Runs that were accepted";
    "dagbook_runs_finished" Counter ["tenant", "status"] "Runs that came to their end";
    "dagbook_run_seconds" Histogram ["status"] "From the acceptance of a run to its end";
    "dagbook_runs_active" Gauge ["tenant", "state"] "Runs that are not over";
    "dagbook_queue_depth" Gauge ["tenant", "pool"] "Steps and children that could start and wait for a place";
    "dagbook_queue_oldest_seconds" Gauge ["tenant", "pool"] "How long the one that waits longest has waited";
    "dagbook_pool_places" Gauge ["pool"] "Attempts that may run at one time";
    "dagbook_pool_taken" Gauge ["pool"] "Attempts that are planned and whose end is not recorded";
    "dagbook_admission_decisions" Counter [] "Times that admission chose who may start next";
    "dagbook_admission_waiting" Gauge ["reason"] "Kinds of work that wait for a place, by what holds them back";
    "dagbook_budget_used_ratio" Gauge ["tenant", "budget"] "Part of a budget that is spent or held for what runs";
    "dagbook_attempts_planned" Counter ["executor"] "Attempts that were decided on";
    "dagbook_attempts_ended" Counter ["executor", "outcome"] "Attempts that came to their end";
    "dagbook_attempts_retried" Counter ["fault"] "Attempts that another one follows";
    "dagbook_attempt_seconds" Histogram ["executor"] "How long attempts held their resources";
    "dagbook_schedule_fired" Counter ["tenant"] "Runs that a schedule asked for";
    "dagbook_schedule_lateness_seconds" Histogram [] "From the instant of a schedule to the acceptance of its run";
    "dagbook_store_append_seconds" Histogram [] "From the request of an append to its durable answer";
    "dagbook_store_append_events" Histogram [] "Events of one append";
    "dagbook_store_appends_in_flight" Gauge [] "Appends that wait for their answer";
    "dagbook_store_read_seconds" Histogram [] "Reads of the record";
    "dagbook_store_errors" Counter ["operation", "error"] "Requests that the store did not answer as asked";
    "dagbook_record_open" Gauge [] "1 where the record may be added to, 0 while it waits for its copy or is halted";
    "dagbook_relay_lag_events" Gauge [] "Events that are recorded and not known to be copied";
    "dagbook_relay_published" Counter [] "Events that the relay added to the copy";
    "dagbook_relay_retrying" Gauge [] "1 while the relay cannot reach the copy";
    "dagbook_checkpoint_age_seconds" Gauge [] "How long the signed heads have been behind the record";
    "dagbook_witness_age_seconds" Gauge [] "How long no witness has co-signed, where one is awaited and something was signed";
    "dagbook_lease_held" Gauge [] "1 in the process that acts for the site";
    "dagbook_lease_epoch" Gauge [] "The epoch under which the lease is held, 0 where it is not";
    "dagbook_lease_renew_seconds" Histogram [] "How long the store took to renew the lease";
    "dagbook_takeovers" Counter [] "Times that this process began to act for the site";
    "dagbook_retention_gone" Counter ["what"] "Things that retention let go";
    "dagbook_retention_problems" Counter [] "Times that retention could not do what it should";
    "dagbook_retention_turn_seconds" Histogram [] "How long one turn of retention took";
    "dagbook_reconciliation_findings" Gauge ["comparison"] "What did not agree when it was last compared";
    "dagbook_reconciliation_failures" Counter [] "Times that something could not be compared, or the report not be recorded";
    "dagbook_billing_done" Counter ["what"] "Cards adopted, periods opened and periods closed by themselves";
    "dagbook_billing_overdue" Gauge [] "Periods that are due to be closed and could not be, where this process acts for the site";
    "dagbook_billing_problems" Counter [] "Times that billing could not do what it should";
    "dagbook_billing_turn_seconds" Histogram [] "How long one turn of billing took";
    "dagbook_directory_age_seconds" Gauge [] "How long ago tokens and roles were last compared with the record";
    "dagbook_http_requests" Counter ["method", "route", "status"] "Requests that were answered";
    "dagbook_http_request_seconds" Histogram ["route"] "From a request to the beginning of its answer";
    "dagbook_http_in_flight" Gauge [] "Requests that are being answered";
    "dagbook_http_followers" Gauge [] "Answers that stay open to tell what comes";
    "dagbook_http_rate_limited" Counter [] "Requests that came too often";
    "dagbook_http_shed" Counter [] "Requests that were refused because too many were open";
    "dagbook_otlp_exported" Counter ["signal"] "Items that a collector took";
    "dagbook_otlp_dropped" Counter ["signal"] "Items that no collector took";
    "dagbook_otlp_failures" Counter ["signal"] "Times that a collector did not answer, or refused";
    "dagbook_log_lines_withheld" Counter [] "Warnings that were not written because the same came too often";
    "process_cpu_seconds" Counter [] "Processor time of this process";
    "process_resident_memory_bytes" Gauge [] "Memory of this process that is resident";
    "process_open_fds" Gauge [] "Descriptors that this process has open";
    "process_max_fds" Gauge [] "Descriptors that this process may have open";
    "process_threads" Gauge [] "Threads of this process";
    "process_start_time_seconds" Gauge [] "When this process began, in seconds since 1970";
    "dagbook_build_info" Gauge ["version"] "1, with the version of the program";
}

/// The family of that name.
pub fn family(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_rules_of_the_exposition() {
        for (index, family) in FAMILIES.iter().enumerate() {
            let name = family.name;
            assert!(name.starts_with("dagbook_") || name.starts_with("process_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert!(!name.ends_with("_total"), "{name}: the exposition adds that");
            assert!(FAMILIES[index + 1..].iter().all(|other| other.name != name), "{name} twice");
            assert!(!family.help.ends_with('.'), "{name}: the exposition adds the full stop");
            let of_time = family.kind == Kind::Histogram && !name.ends_with("_events");
            assert!(!of_time || name.ends_with("_seconds"), "{name} names no unit");
        }
    }
}
