//! Published tiles and the co-signatures of witnesses.

use dagbook_events::journal::keys::verify_note;
use dagbook_events::journal::tiles::{Published, published, tenant_folder};
use dagbook_events::time::Timestamp;
use dagbook_events::tlog::VerifierKey;

use super::{Check, Standing};
use crate::config::DataDir;
use crate::edge::cli::{Context, output};
use crate::wiring::{Layout, objects, shown_objects, site_key};

pub(super) async fn checks(
    ctx: &Context,
    data: &DataDir,
    standing: Option<Standing>,
) -> Vec<Check> {
    let (config, layout) = (ctx.config(), Layout { data: data.root().to_path_buf() });
    let Some(standing) = standing.filter(|standing| standing.leaves > 0) else { return Vec::new() };
    let objects = match objects(config, &layout) {
        Ok(Some(objects)) => objects,
        Ok(None) => return Vec::new(),
        Err(error) => return vec![Check::broken("tiles", error.to_string())],
    };
    let place = shown_objects(config, &layout);
    let key = match site_key(&layout) {
        Ok(key) => key,
        Err(error) => return vec![Check::warning("tiles", error.to_string())],
    };
    let folder = tenant_folder(&config.tenant, standing.timeline);
    match published(objects.as_ref(), &folder, &key).await {
        Err(error) => vec![Check::broken("tiles", format!("{place}: {error}"))],
        Ok(None) => vec![
            Check::warning("tiles", format!("{place}: nothing of this tenant is published yet"))
                .hint("the next command that appends publishes it, and so does `dagbook relay`"),
        ],
        Ok(Some(head)) => {
            let mut checks = vec![tiles(&place, &head, standing)];
            checks.extend(config.witnesses.iter().map(|witness| cosigned(&head, witness)));
            checks
        }
    }
}

fn tiles(place: &str, head: &Published, standing: Standing) -> Check {
    let size = head.checkpoint.size;
    let detail = format!("{place}: a signed head over {} of {} leaves", size, standing.leaves);
    match size > standing.leaves {
        true => Check::broken("tiles", detail)
            .hint("the store was restored from an older copy: see ops/runbooks/store-restored.md"),
        false if size == standing.leaves => Check::ok("tiles", detail),
        false => Check::ok("tiles", detail).hint(
            "the next command that appends brings it up to date, and so does `dagbook relay`",
        ),
    }
}

fn cosigned(head: &Published, witness: &VerifierKey) -> Check {
    let name = output::clean(witness.name());
    let given = verify_note(&head.note, witness).and_then(|()| head.note.cosignature(witness));
    match given {
        Ok(cosignature) => {
            let millis = i64::try_from(cosignature.time).unwrap_or(0).saturating_mul(1_000);
            let when = Timestamp(millis).to_rfc3339();
            Check::ok("witness", format!("{name} co-signed the published head at {when}"))
        }
        Err(_) => Check::warning("witness", format!("{name} has not co-signed the published head"))
            .hint("is it running? ops/runbooks/witness-refuses.md says what to look at"),
    }
}
