# Makes package.tar: a program that greets with its version. The same version gives the same
# bytes: fixed order, owner and date.
set -eu

if [ "$BREAK" = build ]; then
    echo "error: the build was asked to fail (param break=build)" >&2
    exit 2
fi

tree="$DAGBOOK_SCRATCH/greet-$VERSION"
mkdir -p "$tree"
printf '#!/bin/sh\necho "greetings from version %s"\n' "$VERSION" > "$tree/greet"
chmod 755 "$tree/greet"
printf '%s\n' "$VERSION" > "$tree/VERSION"

package="$DAGBOOK_ARTIFACTS/package.tar"
tar --create --file "$package" --directory "$DAGBOOK_SCRATCH" --sort=name \
    --owner=0 --group=0 --numeric-owner --mtime=@0 --format=ustar "greet-$VERSION"

sha256=$(sha256sum "$package" | cut -d ' ' -f 1)
bytes=$(wc -c < "$package" | tr -d ' ')
echo "sha256=$sha256" >> "$DAGBOOK_OUTPUT"
echo "bytes=$bytes" >> "$DAGBOOK_OUTPUT"
echo "built greet-$VERSION: $bytes bytes, sha256 $sha256"
