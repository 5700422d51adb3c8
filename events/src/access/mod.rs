//! Who may do what: roles of tokens and people, and the one table that says it.

use serde::{Deserialize, Serialize};

/// What a token or a person may be, from the most to the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the site: tenants, their quotas, everything of every tenant.
    Admin,
    /// Owns a tenant: its tokens, people and limits below what the site gives it.
    Owner,
    /// Keeps pipelines, schedules and secrets of a tenant.
    Maintainer,
    /// Submits runs and acts on them.
    Developer,
    /// Looks.
    Viewer,
    /// Looks at the history, the usage and the proofs; not at logs, which may hold anything.
    Auditor,
}

impl Role {
    /// All of them, from the most to the least.
    pub const ALL: [Self; 6] =
        [Self::Admin, Self::Owner, Self::Maintainer, Self::Developer, Self::Viewer, Self::Auditor];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Owner => "owner",
            Self::Maintainer => "maintainer",
            Self::Developer => "developer",
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
        }
    }

    /// Whether someone of this role may do it, within their tenant (or, for
    /// [`Role::Admin`], in any).
    pub fn may(self, permission: Permission) -> bool {
        use Permission::*;
        match permission {
            ManageSite => self == Self::Admin,
            ManageTokens | ManageTenant => self <= Self::Owner,
            ManagePipelines | ManageSchedules | ManageSecrets => self <= Self::Maintainer,
            SubmitRuns | ActOnRuns => self <= Self::Developer,
            ReadLogs => self <= Self::Viewer,
            ReadRuns | ReadPipelines | ReadSchedules => true,
            ReadAudit => !matches!(self, Self::Developer | Self::Viewer),
            ReadTokens => self <= Self::Owner || self == Self::Auditor,
        }
    }

    /// Whether someone of this role may give the other role to someone else.
    pub fn may_grant(self, other: Self) -> bool {
        self.may(Permission::ManageTokens) && (self == Self::Admin || other != Self::Admin)
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|role| role.as_str()).collect();
            format!("`{text}` is no role; roles are: {}", known.join(", "))
        })
    }
}

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Make, change, suspend tenants; read the state of the whole site.
    ManageSite,
    /// Change a tenant's own settings within its limits.
    ManageTenant,
    /// Issue, rotate and revoke tokens.
    ManageTokens,
    /// List tokens, without what they are.
    ReadTokens,
    /// Register pipelines.
    ManagePipelines,
    /// Look at pipelines.
    ReadPipelines,
    /// Make and change schedules.
    ManageSchedules,
    /// Look at schedules.
    ReadSchedules,
    /// Set and remove secrets; list their names.
    ManageSecrets,
    /// Submit runs.
    SubmitRuns,
    /// Cancel, pause, resume, retry, approve, reject, signal.
    ActOnRuns,
    /// List and look at runs, their events and why they wait.
    ReadRuns,
    /// Read what steps wrote.
    ReadLogs,
    /// Read usage, invoices, checkpoints, tiles and bundles.
    ReadAudit,
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::ManageSite,
        Self::ManageTenant,
        Self::ManageTokens,
        Self::ReadTokens,
        Self::ManagePipelines,
        Self::ReadPipelines,
        Self::ManageSchedules,
        Self::ReadSchedules,
        Self::ManageSecrets,
        Self::SubmitRuns,
        Self::ActOnRuns,
        Self::ReadRuns,
        Self::ReadLogs,
        Self::ReadAudit,
    ];

    /// The word for it, as in scopes of tokens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ManageSite => "manage_site",
            Self::ManageTenant => "manage_tenant",
            Self::ManageTokens => "manage_tokens",
            Self::ReadTokens => "read_tokens",
            Self::ManagePipelines => "manage_pipelines",
            Self::ReadPipelines => "read_pipelines",
            Self::ManageSchedules => "manage_schedules",
            Self::ReadSchedules => "read_schedules",
            Self::ManageSecrets => "manage_secrets",
            Self::SubmitRuns => "submit_runs",
            Self::ActOnRuns => "act_on_runs",
            Self::ReadRuns => "read_runs",
            Self::ReadLogs => "read_logs",
            Self::ReadAudit => "read_audit",
        }
    }
}

impl std::str::FromStr for Permission {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|known| known.as_str()).collect();
            format!("`{text}` is no permission; permissions are: {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_below_the_site_grants_the_site() {
        for role in Role::ALL {
            assert_eq!(role.may_grant(Role::Admin), role == Role::Admin, "{role:?}");
        }
        assert!(Role::Owner.may_grant(Role::Owner));
        assert!(!Role::Maintainer.may_grant(Role::Viewer));
    }

    #[test]
    fn an_auditor_reads_the_history_and_changes_nothing() {
        use Permission::*;
        let reads = [ReadRuns, ReadPipelines, ReadSchedules, ReadAudit, ReadTokens];
        let rest = [
            ManageSite,
            ManageTenant,
            ManageTokens,
            ManagePipelines,
            ManageSchedules,
            ManageSecrets,
            SubmitRuns,
            ActOnRuns,
            ReadLogs,
        ];
        assert!(reads.into_iter().all(|permission| Role::Auditor.may(permission)));
        assert!(!rest.into_iter().any(|permission| Role::Auditor.may(permission)));
    }
}
