//! Running migrations so that one that was interrupted is as if it had not begun.

use refinery::{Error, Migrate, Runner, Target};

/// Brings a schema up to date that has this version: a new one in one transaction, any other with a
/// transaction for each migration, so that what was done stays done.
///
/// The transaction is that of the migration and of the note that it was done. Left to itself the
/// runner makes two of them, and a process that dies in between leaves a schema that can never be
/// migrated again: what stands there already is in the way.
pub(super) fn bring_up_to_date(
    runner: impl Fn() -> Runner,
    connection: &mut impl Migrate,
    version: u32,
) -> Result<(), Error> {
    let mut steps: Vec<_> = runner().get_migrations().iter().map(|one| one.version()).collect();
    steps.sort_unstable();
    steps.retain(|step| version > 0 && u32::try_from(*step).is_ok_and(|step| step > version));
    for step in steps {
        runner().set_target(Target::Version(step)).set_grouped(true).run(connection)?;
    }
    // All of a new schema; else nothing is left, but that what was made is what the program knows is
    // looked at even where there was nothing to do.
    runner().set_grouped(true).run(connection).map(|_| ())
}
