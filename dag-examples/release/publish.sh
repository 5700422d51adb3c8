# Publishes the package: here, an index entry that names it by its hash.
set -eu

if [ "$BREAK" = publish ]; then
    echo "error: the registry refused (param break=publish)" >&2
    exit 3
fi

sha256=$(sha256sum "$DAGBOOK_INPUTS/package.tar" | cut -d ' ' -f 1)
url="https://packages.example/greet/$VERSION/$sha256.tar"
printf '{"name": "greet", "version": "%s", "sha256": "%s", "url": "%s"}\n' \
    "$VERSION" "$sha256" "$url" > "$DAGBOOK_ARTIFACTS/index.json"
echo "url=$url" >> "$DAGBOOK_OUTPUT"
echo "published $url"
