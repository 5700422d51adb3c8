//! The description of the API: what every operation has in common is added here, so that no
//! resource can forget it.

use utoipa::openapi::path::{HttpMethod, Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, ObjectBuilder, OpenApi, PathItem, Ref, RefOr,
    Required, ResponseBuilder, Type,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::ProblemBody;
use super::problem::kinds;

/// The name of the security scheme.
const TOKEN: &str = "token";
/// Statuses that any operation may answer with.
const ANY: [u16; 7] = [400, 401, 403, 404, 429, 500, 503];
/// Statuses that operations with a body may answer with, too.
const WITH_BODY: [u16; 5] = [408, 409, 413, 415, 422];

const ABOUT: &str = "\
Runs, their history and what acts on them. Every error is a problem (RFC 9457) whose `type` \
leads to a page that says what to do. Lists are read by pages: `next` of one is `cursor` of the \
next. Every POST honours `Idempotency-Key`. People of the site name a tenant with \
`Dagbook-Tenant`.";

/// Adds what all operations have in common.
pub(super) fn complete(mut api: OpenApi) -> OpenApi {
    api.info = InfoBuilder::new()
        .title("dagbook")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .build();
    let components = api.components.get_or_insert_with(Components::new);
    components.schemas.insert("Problem".to_string(), ProblemBody::schema());
    let mut parts = Vec::new();
    ProblemBody::schemas(&mut parts);
    components.schemas.extend(parts);
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token: `dgb_` and 43 characters."))
        .build();
    components.add_security_scheme(TOKEN, SecurityScheme::Http(scheme));
    for item in api.paths.paths.values_mut() {
        for (method, operation) in operations(item) {
            complete_operation(&method, operation);
        }
    }
    api
}

fn operations(item: &mut PathItem) -> Vec<(HttpMethod, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [
        (HttpMethod::Get, get),
        (HttpMethod::Put, put),
        (HttpMethod::Post, post),
        (HttpMethod::Delete, delete),
        (HttpMethod::Patch, patch),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
    .collect()
}

fn complete_operation(method: &HttpMethod, operation: &mut Operation) {
    // An operation that says that it needs none is open, and answers with nothing of this.
    let is_open = operation.security.is_some();
    let mut statuses: Vec<u16> = Vec::new();
    if is_open {
        statuses.extend([500, 503]);
    } else {
        statuses.extend(ANY);
        operation.security = Some(vec![SecurityRequirement::new(TOKEN, [] as [&str; 0])]);
        if *method != HttpMethod::Get {
            statuses.extend(WITH_BODY);
        }
        let parameters = operation.parameters.get_or_insert_with(Vec::new);
        parameters.push(RefOr::T(header(
            "Dagbook-Tenant",
            "The tenant on whom someone of the site acts.",
            "^[a-z0-9][a-z0-9-]{0,62}$",
        )));
        if *method == HttpMethod::Post {
            parameters.push(RefOr::T(header(
                "Idempotency-Key",
                "With the same key, the same request is done once and answered alike, for 24 h.",
                "^[!-~]{1,255}$",
            )));
        }
    }
    for status in statuses {
        let name = status.to_string();
        if operation.responses.responses.contains_key(&name) {
            continue;
        }
        let meant: Vec<&str> =
            kinds::ALL.iter().filter(|kind| kind.status == status).map(|kind| kind.code).collect();
        let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new()
            .description(format!("A problem: {}", meant.join(", ")))
            .content("application/problem+json", body)
            .build();
        operation.responses.responses.insert(name, RefOr::T(response));
    }
}

fn header(name: &str, about: &str, pattern: &str) -> utoipa::openapi::path::Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build();
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(about))
        .schema(Some(schema))
        .build()
}

#[cfg(test)]
mod tests {
    use super::super::description;

    #[test]
    fn every_operation_has_its_own_id_a_tag_and_documented_problems() {
        let api = serde_json::to_value(description()).expect("plain data");
        let mut ids = Vec::new();
        for (path, item) in api["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let at = format!("{method} {path}");
                ids.push(operation["operationId"].as_str().expect(&at).to_string());
                assert!(!operation["tags"].as_array().expect(&at).is_empty(), "{at}");
                assert!(operation["summary"].is_string(), "{at} has no summary");
                let is_open = operation["security"] == serde_json::json!([{}]);
                let open = ["/healthz", "/readyz", "/login", "/login/callback", "/logout"];
                assert_eq!(is_open, open.contains(&path.as_str()), "{at}");
                for status in if is_open { vec!["500"] } else { vec!["401", "403", "404", "500"] } {
                    let body = &operation["responses"][status]["content"];
                    assert!(body["application/problem+json"].is_object(), "{at}: {status}");
                }
            }
        }
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count, "operation ids are not unique");
    }
}
