# Checks the package in one way: contents, checksum or greeting.
set -eu

suite=$1
package="$DAGBOOK_INPUTS/package.tar"

fail() {
    echo "error: $suite: $1" >&2
    exit 1
}

if [ "$BREAK" = check ] && [ "$suite" = greeting ]; then
    fail "was asked to fail (param break=check)"
fi

case $suite in
contents)
    for file in VERSION greet; do
        tar --list --file "$package" | grep -qx "greet-$VERSION/$file" || fail "$file is missing"
    done
    ;;
checksum)
    found=$(sha256sum "$package" | cut -d ' ' -f 1)
    [ "$found" = "$SHA256" ] || fail "sha256 is $found, the build said $SHA256"
    ;;
greeting)
    tar --extract --file "$package" --directory "$DAGBOOK_SCRATCH"
    said=$(sh "$DAGBOOK_SCRATCH/greet-$VERSION/greet")
    [ "$said" = "greetings from version $VERSION" ] || fail "the program says: $said"
    ;;
*)
    fail "there is no such suite"
    ;;
esac
echo "$suite: good"
