//! What a server refuses, in the words and exit codes of this command line.

use crate::client::{ClientError, Problem};
use crate::edge::cli::output;
use crate::edge::cli::{CliError, ExitCode};

/// Findings that are printed.
const FINDINGS_SHOWN: usize = 20;

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let said = error.to_string();
        match error {
            ClientError::Setup(_) => Self::usage(said),
            ClientError::Unreachable { .. } => Self::unavailable(said).hint(
                "is `--server` right, and is it running? for a certificate of your own, name its \
                 authority with `--ca-file`",
            ),
            ClientError::Strange { .. } => Self::unavailable(said)
                .hint("`--server` is the address up to, and without, `/api/v1`"),
            ClientError::Problem(problem) => of_problem(&problem, said),
        }
    }
}

fn of_problem(problem: &Problem, said: String) -> CliError {
    let exit = match (problem.status, problem.code.as_str()) {
        (503, "record-halted") => ExitCode::Damaged,
        (401 | 403 | 429, _) => ExitCode::Refused,
        (408 | 502..=504, _) => ExitCode::Unavailable,
        (400..=499, _) => ExitCode::Usage,
        _ => ExitCode::Unavailable,
    };
    let mut message = said;
    for finding in problem.findings.iter().take(FINDINGS_SHOWN) {
        let (file, line, column) = (&finding.file, finding.line, finding.column);
        let text = output::clean(&finding.message);
        message.push_str(&format!("\n  {file}:{line}:{column}: {} {text}", finding.code));
    }
    if let (500, Some(id)) = (problem.status, &problem.request_id) {
        message.push_str(&format!(" (request {})", output::clean(id)));
    }
    let error = CliError::new(exit, message);
    match (&problem.hint, problem.status) {
        (Some(hint), _) => error.hint(output::clean(hint)),
        (None, 401) => error.hint(
            "give a token by `--token-file FILE` or `DAGBOOK_TOKEN`; the first `dagbook serve` \
             prints one",
        ),
        (None, 403) => error.hint("an owner of the tenant can issue a token of that role"),
        (None, 429 | 503) => match problem.retry_after_ms {
            Some(wait) => {
                let wait = dagbook_events::time::Millis(wait);
                error.hint(format!("the server asks to come again in {wait}"))
            }
            None => error,
        },
        (None, _) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_documented_exit_code() {
        let table = [
            (400, ExitCode::Usage),
            (401, ExitCode::Refused),
            (403, ExitCode::Refused),
            (404, ExitCode::Usage),
            (409, ExitCode::Usage),
            (413, ExitCode::Usage),
            (422, ExitCode::Usage),
            (429, ExitCode::Refused),
            (500, ExitCode::Unavailable),
            (502, ExitCode::Unavailable),
            (503, ExitCode::Unavailable),
        ];
        for (status, exit) in table {
            let problem = Problem { status, ..Problem::default() };
            let error = CliError::from(ClientError::Problem(Box::new(problem)));
            assert_eq!(error.exit, exit, "{status}");
        }
        let halted =
            Problem { status: 503, code: "record-halted".to_string(), ..Problem::default() };
        let error = CliError::from(ClientError::Problem(Box::new(halted)));
        assert_eq!(error.exit, ExitCode::Damaged);
    }
}
