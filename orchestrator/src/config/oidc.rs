//! Login of people by an identity provider (OpenID Connect).

use std::path::PathBuf;

use dagbook_events::access::Role;
use dagbook_events::ids::TenantId;

/// Most mappings of groups.
const MOST_ROLES: usize = 256;

/// How people come in by an identity provider.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OidcConfig {
    /// The provider's issuer, exactly as its tokens name it; none: nobody logs in.
    pub issuer: Option<String>,
    /// What the provider calls this server.
    pub client_id: Option<String>,
    /// A file with the client's secret; none: a public client.
    pub client_secret_file: Option<PathBuf>,
    /// Where the provider sends people back to: `https://HOST/login/callback`.
    pub redirect_url: Option<String>,
    /// The claim that lists a person's groups.
    pub groups_claim: Option<String>,
    /// Which roles groups have.
    pub roles: Vec<GroupRole>,
}

/// A group of the provider, and what its members are here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRole {
    /// The group's name in the claim.
    pub group: String,
    /// The tenant.
    pub tenant: TenantId,
    /// What they are there.
    pub role: Role,
}

impl OidcConfig {
    /// Reads `GROUP=TENANT:ROLE` of each.
    pub(super) fn set_roles(&mut self, texts: &[&str]) -> Result<(), String> {
        if texts.len() > MOST_ROLES {
            return Err(format!("`oidc_roles` has more than {MOST_ROLES} entries"));
        }
        self.roles = texts.iter().map(|text| group_role(text)).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// What is missing before anybody could log in; nothing where nobody shall.
    pub(super) fn problem(&self) -> Option<String> {
        self.issuer.as_ref()?;
        let missing = [
            ("oidc_client_id", self.client_id.is_none()),
            ("oidc_redirect_url", self.redirect_url.is_none()),
        ];
        let (key, _) = missing.into_iter().find(|(_, is_missing)| *is_missing)?;
        Some(format!("`oidc_issuer` is set, so `{key}` must be, too"))
    }
}

fn group_role(text: &str) -> Result<GroupRole, String> {
    let wrong = |why: &str| {
        format!(
            "`oidc_roles`: `{text}` is not `GROUP=TENANT:ROLE`, such as `ml-team=acme:developer`{why}"
        )
    };
    let (group, rest) = text.rsplit_once('=').ok_or_else(|| wrong(""))?;
    let (tenant, role) = rest.split_once(':').ok_or_else(|| wrong(""))?;
    let tenant = TenantId::new(tenant).map_err(|error| wrong(&format!(": {error}")))?;
    let role: Role = role.parse().map_err(|error: String| wrong(&format!(": {error}")))?;
    if role == Role::Admin && tenant.as_str() != dagbook_events::tenant::SITE {
        return Err(wrong(": the role `admin` is of the tenant `site`"));
    }
    match group.trim().is_empty() {
        true => Err(wrong("")),
        false => Ok(GroupRole { group: group.trim().to_string(), tenant, role }),
    }
}

/// An address that people's browsers or this server go to.
pub(super) fn address(key: &str, text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).map_err(|error| format!("`{key}`: {error}"))?;
    let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(text.to_string()),
        "http" if is_here => Ok(text.to_string()),
        _ => Err(format!("`{key}` must begin with `https://` (or be on this machine)")),
    }
}
