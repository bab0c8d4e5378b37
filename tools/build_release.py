"""Builds the wheel and the source distribution, the same bytes every time.

The last commit is built, and its date stands on every file in the archives, so
that anybody can build them again, with the same version of Python, and compare
`SHA256SUMS`. In the folder `dist` (`--output`) are then

- the source distribution, and the wheel that is built from it;
- a list of what is in the wheel and what it needs, in the CycloneDX format
  (a software bill of materials), with license and sha256 of the weights;
- `SHA256SUMS` of these files, which `sha256sum --check` reads.

Before anything is built, the changelog has to have a heading for the version in
`keras_perceptual/_version.py` and nothing left under "Unreleased" (`--draft`
builds nevertheless), and the weights the sha256 that is in their `NOTICE.md`.
`--check` checks and builds nothing; it also lets pass what is not released yet.

`--repository` is where the project can be read. A package index shows the
README alone: in the archives it links to the files and pictures of this version
there, and the metadata lists the addresses of the project.

    pip install -e ".[release]"
    python tools/build_release.py --repository https://example.org/keras_perceptual
"""

import argparse
import ast
import datetime
import email
import gzip
import hashlib
import io
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import uuid
import zipfile

# What is built with, as it leaves its mark on the archives.
SETUPTOOLS = "setuptools==84.2.1"
ROOT = pathlib.Path(__file__).parents[1]
WEIGHTS = "keras_perceptual/features/weights"
LICENCES = {
    "alexnet.npz": "BSD-3-Clause",
    "dists.npz": "MIT",
    "lpips_v0.1.npz": "BSD-2-Clause",
    "vgg16.npz": "BSD-3-Clause",
}


def read(path):
    """Returns the text of a file."""
    return path.read_text(encoding="utf-8")


def sha256(path):
    """Returns the sha256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def version_of(root):
    """Returns the version of the package, which is not imported."""
    (assignment,) = ast.parse(read(root / "keras_perceptual/_version.py")).body[
        1:
    ]
    return ast.literal_eval(assignment.value)


def check_changelog(text, version, release):
    """Refuses a changelog that does not fit the version.

    Args:
        text: The changelog.
        version: The version of the package.
        release: Boolean, whether this version is about to be released: then
            the changelog has a heading for it, and no change is above that.
    """
    sections = re.findall(r"^## \[(.+?)\].*\n((?:(?!## \[).*\n?)*)", text, re.M)
    headings = [heading for heading, _ in sections]
    numbered = [heading for heading in headings if heading != "Unreleased"]
    received = f"Received: headings={headings}, version={version}"
    if headings[:1] not in (["Unreleased"], [version]):
        raise SystemExit(
            'CHANGELOG.md was expected to begin with "## [Unreleased]" or '
            f'"## [{version}]". {received}'
        )
    if numbered[:1] not in ([[version]] if release else [[version], []]):
        raise SystemExit(
            "The newest version in CHANGELOG.md is not that of the package. "
            f'Rename "## [Unreleased]" to "## [{version}] - <date>", or change '
            f"keras_perceptual/_version.py. {received}"
        )
    unreleased = dict(sections).get("Unreleased", "").strip()
    if release and unreleased:
        raise SystemExit(
            f"CHANGELOG.md has changes above version {version}. Move them "
            "below its heading, or give the package another version. "
            f"Received: {unreleased.splitlines()[-1]}"
        )


def check_weights(folder):
    """Refuses weights that are not those that NOTICE.md lists."""
    listed = dict(
        re.findall(r"`(\S+\.npz)` \| `(\w{64})`", read(folder / "NOTICE.md"))
    )
    found = {path.name: sha256(path) for path in folder.glob("*.npz")}
    if found != listed or set(found) != set(LICENCES):
        raise SystemExit(
            f"The weights in {WEIGHTS} are not those of its NOTICE.md, or have "
            f"no license in this script. Expected {listed}. Received: {found}"
        )


def git(*arguments):
    """Returns what a git command prints about this project, as bytes."""
    return subprocess.run(
        ["git", "-C", ROOT, *arguments], check=True, stdout=subprocess.PIPE
    ).stdout


def check_all_is_committed():
    """Refuses files that the last commit does not have."""
    changed = git("status", "--porcelain").decode()
    if changed:
        raise SystemExit(
            "The last commit is what is built, and files differ from it. "
            f"Commit them, or put them aside. Received:\n{changed}"
        )


def export_last_commit(folder):
    """Writes the files of the last commit to a folder."""
    archive = folder / "commit.tar"
    archive.write_bytes(git("archive", "HEAD"))
    with tarfile.open(archive) as files:
        files.extractall(folder / "source", filter="data")
    return folder / "source"


def with_addresses(readme, repository, version):
    """Returns a README whose links lead to the files of a repository.

    Args:
        readme: Its text, with links to files of the project.
        repository: The address of the project, where `/blob/<tag>/<path>` shows
            a file and `/raw/<tag>/<path>` is one.
        version: The version, whose tag is `v<version>`.
    """

    def link(match):
        kind = "raw" if match[1] else "blob"
        return f"{match[1]}{match[2]}({repository}/{kind}/v{version}/{match[3]}"

    blocks = re.split(r"(^```.*?^```)", readme, flags=re.M | re.S)
    blocks[::2] = [
        re.sub(r"(!?)(\[[^]]*\])\((?!\w+:|#)([^)\s]+)", link, block)
        for block in blocks[::2]
    ]
    return "".join(blocks)


def put_addresses(source, repository, version):
    """Writes the addresses of the project into the files to be built."""
    readme = source / "README.md"
    text = with_addresses(read(readme), repository, version)
    readme.write_text(text, encoding="utf-8")
    setup = source / "setup.cfg"
    urls = {
        "Source": repository,
        "Documentation": f"{repository}/blob/v{version}/docs/quickstart.md",
        "Changelog": f"{repository}/blob/v{version}/CHANGELOG.md",
        "Issues": f"{repository}/issues",
    }
    lines = "".join(f"    {name} = {url}\n" for name, url in urls.items())
    setup.write_text(
        read(setup).replace(
            "[metadata]\n", f"[metadata]\nproject_urls =\n{lines}", 1
        ),
        encoding="utf-8",
    )


def repository_address(text):
    """Returns the address that was given, refusing what is none."""
    if not re.fullmatch(r"https://[^\s/]+/\S+?", text):
        raise argparse.ArgumentTypeError(
            "expected the address at which people read the project, such as "
            f"https://example.org/keras_perceptual. Received: {text!r}"
        )
    return text.rstrip("/")


def normalize(sdist, seconds):
    """Takes out of a source distribution who built it, when and where.

    Setuptools leaves in it the time, the owner and the permissions of each
    file, and the time of compression.
    """
    with tarfile.open(sdist) as old:
        files = [
            (member, old.extractfile(member) if member.isfile() else None)
            for member in sorted(old, key=lambda member: member.name)
        ]
        files = [(member, file and file.read()) for member, file in files]
    with (
        open(sdist, "wb") as plain,
        gzip.GzipFile("", "wb", fileobj=plain, mtime=seconds) as packed,
        tarfile.open(fileobj=packed, mode="w") as new,
    ):
        for member, data in files:
            clean = tarfile.TarInfo(member.name)
            clean.type, clean.size = member.type, member.size
            clean.mtime = seconds
            executable = member.isdir() or member.mode & 0o100
            clean.mode = 0o755 if executable else 0o644
            new.addfile(clean, data and io.BytesIO(data))


def build_archives(source, seconds, output):
    """Builds the source distribution, and the wheel from it.

    Args:
        source: Folder with the files of the last commit.
        seconds: When it was made, in seconds since 1970.
        output: Folder for the archives.

    Returns:
        Pair of paths: of the wheel and of the source distribution.
    """
    import build
    import build.env

    os.environ["SOURCE_DATE_EPOCH"] = str(seconds)
    # New files in a wheel have the permissions that this leaves them.
    os.umask(0o022)
    with build.env.DefaultIsolatedEnv() as environment:
        environment.install([SETUPTOOLS])

        def run(kind, folder):
            builder = build.ProjectBuilder.from_isolated_env(
                environment, folder
            )
            return pathlib.Path(builder.build(kind, output))

        sdist = run("sdist", source)
        normalize(sdist, seconds)
        unpacked = source.parent / "unpacked"
        with tarfile.open(sdist) as files:
            files.extractall(unpacked, filter="data")
        (folder,) = unpacked.iterdir()
        return run("wheel", folder), sdist


def requirements(wheel):
    """Returns the names of the packages that a wheel asks for, extras not."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [x for x in archive.namelist() if x.endswith("/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
    found = [
        x for x in metadata.get_all("Requires-Dist") if "extra ==" not in x
    ]
    return sorted(re.match(r"[\w.-]+", x)[0] for x in found)


def bill_of_materials(wheel, version, seconds):
    """Returns what a wheel holds and needs, as CycloneDX JSON."""
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import DisjunctiveLicense
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    def part(kind, name, license=None, digest=None, purl=None, **options):
        return Component(
            type=kind,
            name=name,
            bom_ref=str(purl or name),
            purl=purl,
            licenses=[DisjunctiveLicense(id=license)] if license else [],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)]
            if digest
            else [],
            **options,
        )

    def package(name, **options):
        purl = PackageURL("pypi", None, name, options.get("version"))
        return part(ComponentType.LIBRARY, name, purl=purl, **options)

    digest = sha256(wheel)
    whole = package(
        "keras-perceptual",
        license="Apache-2.0",
        digest=digest,
        version=version,
    )
    weights = [
        part(
            ComponentType.MACHINE_LEARNING_MODEL,
            f"{WEIGHTS}/{name}",
            license,
            sha256(ROOT / WEIGHTS / name),
        )
        for name, license in LICENCES.items()
    ]
    needed = [package(name) for name in requirements(wheel)]
    bom = Bom(
        components=[*weights, *needed],
        # Random and now, if left out.
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, digest),
        metadata=BomMetaData(
            component=whole,
            timestamp=datetime.datetime.fromtimestamp(seconds, datetime.UTC),
        ),
    )
    bom.register_dependency(whole, [*weights, *needed])
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def build_release(version, output, repository=None):
    """Builds the files of a release, from the last commit.

    Args:
        version: The version of the package.
        output: Folder for the files; has to be empty, or not there.
        repository: The address of the project. Defaults to `None`, with which
            the links of the README stay as they are.

    Returns:
        The paths of the files.
    """
    check_all_is_committed()
    output.mkdir(parents=True, exist_ok=True)
    if list(output.iterdir()):
        raise SystemExit(
            "The folder for the files has to be empty, so that nothing else is "
            f"uploaded with them. Received: --output {output}"
        )
    with tempfile.TemporaryDirectory() as scratch:
        source = export_last_commit(pathlib.Path(scratch))
        if repository:
            put_addresses(source, repository, version)
        seconds = int(git("log", "-1", "--format=%ct"))
        wheel, sdist = build_archives(source, seconds, output)
    subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", wheel, sdist],
        check=True,
    )
    bom = output / f"keras_perceptual-{version}.cdx.json"
    bom.write_text(bill_of_materials(wheel, version, seconds), encoding="utf-8")
    files = [wheel, sdist, bom]
    sums = output / "SHA256SUMS"
    sums.write_text(
        "".join(f"{sha256(path)}  {path.name}\n" for path in sorted(files)),
        encoding="utf-8",
    )
    return [*files, sums]


def main():
    """Checks, builds, and prints the sums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only check")
    parser.add_argument(
        "--draft", action="store_true", help="of a version not in the changelog"
    )
    parser.add_argument(
        "--output", type=pathlib.Path, default=pathlib.Path("dist")
    )
    parser.add_argument(
        "--repository",
        type=repository_address,
        help="where the project is read; a release needs it",
    )
    options = parser.parse_args()
    version = version_of(ROOT)
    release = not (options.check or options.draft)
    if release and not options.repository:
        parser.error(
            "pass --repository with the address at which people read the "
            "project: without it, the README's links lead nowhere on an index"
        )
    check_changelog(read(ROOT / "CHANGELOG.md"), version, release)
    check_weights(ROOT / WEIGHTS)
    print(f"Version, changelog and weights of {version} fit.")
    if not options.check:
        build_release(version, options.output.resolve(), options.repository)
        print(read(options.output / "SHA256SUMS"), end="")


if __name__ == "__main__":
    main()
