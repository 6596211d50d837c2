//! The software bill of materials: CycloneDX 1.6 JSON of what an image is made of.
//!
//! Owns: the document's shape and the reading of machine-readable copyright files. Never does:
//! guess: a licence that is not declared is absent, and Debian's short names are given as names,
//! not taken for SPDX identifiers; nor list what is inside a crate or comes with the compiler: the C library and Rust's
//! own, linked into our programs, are not components. Invariant: the same contents and copyright files give the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::crates::Crate;
use crate::lock::{DEBIAN, DEBIAN_SECURITY, Lock, Package, Set, Sha256, date};

/// What the bill is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Product name.
    pub product: &'a str,
    /// Product version.
    pub version: &'a str,
}

/// What an image is made of.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// The lock: its image set is in the root.
    pub lock: &'a Lock,
    /// Packages of the tools set whose files are on the ESP.
    pub esp: &'a [&'a str],
    /// Programs that come from no package.
    pub programs: &'a [Program<'a>],
}

/// A program of ours in the image.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Where it lies in the image.
    pub path: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// What is linked into it.
    pub crates: &'a [Crate],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bom<'a> {
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata<'a>,
    components: Vec<Component<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    timestamp: String,
    tools: Tools,
    component: Root<'a>,
}

#[derive(Serialize)]
struct Tools {
    components: [Tool; 1],
}

#[derive(Serialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Root<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    bom_ref: String,
    name: &'a str,
    version: &'a str,
}

#[derive(Serialize)]
struct Component<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    bom_ref: String,
    name: &'a str,
    version: &'a str,
    hashes: [Hash; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<LicenseChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    properties: Vec<Property<'a>>,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum LicenseChoice {
    Named {
        license: License,
    },
    Expression {
        expression: String,
        acknowledgement: &'static str,
    },
}

impl LicenseChoice {
    fn named(name: String) -> Self {
        Self::Named {
            license: License {
                name,
                acknowledgement: DECLARED,
            },
        }
    }
}

/// By its author; nobody looked whether it is so.
const DECLARED: &str = "declared";

#[derive(Serialize)]
struct License {
    name: String,
    acknowledgement: &'static str,
}

#[derive(Serialize)]
struct Property<'a> {
    name: &'static str,
    value: &'a str,
}

/// The bill. `copyright` gives a package's debian/copyright where there is one.
pub fn cyclonedx(
    contents: Contents<'_>,
    subject: Subject<'_>,
    mut copyright: impl FnMut(&Package) -> Option<String>,
) -> Result<String, serde_json::Error> {
    let lock = contents.lock;
    let root = lock.packages(Set::Image).iter().map(|p| (p, ROOT));
    let tools = lock.packages(Set::Tools).iter();
    let esp = tools
        .filter(|p| contents.esp.contains(&p.name.as_str()))
        .map(|p| (p, ESP));
    let packages = root
        .chain(esp)
        .map(|(p, place)| of_package(p, place, lock.codename(), copyright(p)));
    let programs = contents.programs.iter().map(of_program);
    let mut linked: BTreeMap<&Crate, Vec<&str>> = BTreeMap::new();
    for program in contents.programs {
        for one in program.crates {
            linked.entry(one).or_default().push(program.path);
        }
    }
    let crates = linked
        .into_iter()
        .map(|(one, programs)| of_crate(one, &programs));
    let components = packages.chain(programs).chain(crates).collect();
    let bom = Bom {
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: serial(contents, subject),
        version: 1,
        metadata: Metadata {
            timestamp: date::rfc3339(lock.epoch),
            tools: Tools {
                components: [Tool {
                    kind: "application",
                    name: env!("CARGO_PKG_NAME"),
                    version: env!("CARGO_PKG_VERSION"),
                }],
            },
            component: Root {
                kind: "operating-system",
                bom_ref: format!("{}@{}", subject.product, subject.version),
                name: subject.product,
                version: subject.version,
            },
        },
        components,
    };
    serde_json::to_string_pretty(&bom).map(|text| text + "\n")
}

/// Where the files of a component are.
const ROOT: &str = "root";
const ESP: &str = "esp";

fn of_package<'a>(
    package: &'a Package,
    place: &'a str,
    distro: &str,
    copyright: Option<String>,
) -> Component<'a> {
    let purl = purl(package, distro);
    // A package of both sets is two components: the versions may differ, and so may what of it is there.
    let bom_ref = match place {
        ROOT => purl.clone(),
        place => format!("{place}:{purl}"),
    };
    let names = copyright.map(|text| licences(&text)).unwrap_or_default();
    Component {
        kind: "library",
        bom_ref,
        name: &package.name,
        version: &package.version,
        hashes: [Hash {
            alg: "SHA-256",
            content: package.sha256.to_string(),
        }],
        licenses: names.into_iter().map(LicenseChoice::named).collect(),
        purl: Some(purl),
        properties: vec![
            Property {
                name: "roamcore:origin",
                value: &package.origin,
            },
            Property {
                name: "roamcore:place",
                value: place,
            },
        ],
    }
}

fn of_program<'a>(program: &Program<'a>) -> Component<'a> {
    Component {
        kind: "application",
        bom_ref: format!("{}@{}", program.name, program.version),
        name: program.name,
        version: program.version,
        hashes: [Hash {
            alg: "SHA-256",
            content: Sha256::of(program.bytes).to_string(),
        }],
        licenses: Vec::new(),
        purl: None,
        properties: vec![Property {
            name: "roamcore:place",
            value: program.path,
        }],
    }
}

fn of_crate<'a>(one: &'a Crate, programs: &[&'a str]) -> Component<'a> {
    let purl = format!("pkg:cargo/{}@{}", encode(&one.name), encode(&one.version));
    let licence = one.licence.clone().map(|text| match text.contains('/') {
        // As it was written before Cargo took SPDX's expressions.
        true => LicenseChoice::named(text),
        false => LicenseChoice::Expression {
            expression: text,
            acknowledgement: DECLARED,
        },
    });
    let place = |path: &&'a str| Property {
        name: "roamcore:place",
        value: path,
    };
    Component {
        kind: "library",
        bom_ref: purl.clone(),
        name: &one.name,
        version: &one.version,
        hashes: [Hash {
            alg: "SHA-256",
            content: one.sha256.to_string(),
        }],
        licenses: licence.into_iter().collect(),
        purl: Some(purl),
        properties: programs.iter().map(place).collect(),
    }
}

/// A UUID of version 8 (RFC 9562 section 5.8) from the digest of what the bill is made from.
fn serial(contents: Contents<'_>, subject: Subject<'_>) -> String {
    let mut seed = format!(
        "roamcore sbom 3\n{}\n{}\n{}\n{}\n",
        contents.lock.digest(),
        contents.esp.join(" "),
        subject.product,
        subject.version
    );
    for program in contents.programs {
        seed += &format!("{} {}\n", program.name, Sha256::of(program.bytes));
        for one in program.crates {
            seed += &format!("{} {} {}\n", one.name, one.version, one.sha256);
        }
    }
    let mut b = [0u8; 16];
    b.copy_from_slice(&Sha256::of(seed.as_bytes()).bytes()[..16]);
    b[6] = b[6] & 0x0f | 0x80;
    b[8] = b[8] & 0x3f | 0x80;
    let hex: String = b.iter().map(|b| format!("{b:02x}")).collect();
    format!(
        "urn:uuid:{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// Package URL of type `deb`. Debian's own archives share one namespace; a third party has its own.
pub fn purl(package: &Package, distro: &str) -> String {
    let namespace = match package.origin.as_str() {
        DEBIAN | DEBIAN_SECURITY => DEBIAN,
        other => other,
    };
    let mut text = format!(
        "pkg:deb/{}/{}@{}?arch={}",
        encode(&namespace.to_ascii_lowercase()),
        encode(&package.name),
        encode(&package.version),
        encode(&package.arch)
    );
    if !distro.is_empty() {
        text += &format!("&distro={}", encode(distro));
    }
    text
}

/// purl-spec, character encoding: letters, digits, `.-_~` and the colon stay as they are.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || b".-_~:".contains(&b) {
            out.push(char::from(b));
        } else {
            out += &format!("%{b:02X}");
        }
        out
    })
}

/// Licence short names of a machine-readable copyright file (DEP-5, copyright-format 1.0), from
/// its header and `Files` paragraphs; nothing from a file in any other form.
pub fn licences(text: &str) -> Vec<String> {
    let mut names = BTreeSet::new();
    for (i, paragraph) in paragraphs(text).into_iter().enumerate() {
        let field = |name: &str| {
            paragraph.iter().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        if i == 0 {
            let format = field("Format")
                .or_else(|| field("Format-Specification"))
                .unwrap_or("");
            let known =
                format.contains("copyright-format") || format.to_ascii_lowercase().contains("dep5");
            if !known {
                return Vec::new();
            }
        } else if field("Files").is_none() {
            continue;
        }
        if let Some(name) = field("License").filter(|n| !n.is_empty()) {
            names.insert(name.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    names.into_iter().collect()
}

fn paragraphs(text: &str) -> Vec<Vec<&str>> {
    let mut all = vec![Vec::new()];
    for line in text.lines() {
        if line.trim().is_empty() {
            all.push(Vec::new());
        } else if let Some(last) = all
            .last_mut()
            .filter(|_| !line.starts_with(['#', ' ', '\t']))
        {
            last.push(line);
        }
    }
    all.retain(|p| !p.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_names() {
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: x\n\n\
                    Files: *\nCopyright: a\nLicense: GPL-2+  and MIT\n text: of it\n\nFiles: b\nLicense: Expat\n\nFiles: c\nLicense: Expat\n\n\
                    Files: d\nLicense:\n no name\n\nLicense: Unused-1.0\n text\n";
        assert_eq!(licences(text), ["Expat", "GPL-2+ and MIT"]);
        assert_eq!(
            licences("This is bash, under the GPL.\nLicense: GPL\n"),
            Vec::<String>::new()
        );
        assert_eq!(licences(""), Vec::<String>::new());
        let old = "Format-Specification: http://dep.debian.net/deps/dep5\nLicense: MIT\n";
        assert_eq!(licences(old), ["MIT"]);
    }

    #[test]
    fn purls() {
        let mut p = Package {
            name: "libstdc++6".into(),
            version: "1:14.2~rc1+dfsg-3".into(),
            arch: "amd64".into(),
            size: 1,
            sha256: Sha256::of(b""),
            path: "pool/x.deb".into(),
            origin: DEBIAN_SECURITY.into(),
            suite: "trixie-security".into(),
            component: "main".into(),
        };
        assert_eq!(
            purl(&p, "trixie"),
            "pkg:deb/debian/libstdc%2B%2B6@1:14.2~rc1%2Bdfsg-3?arch=amd64&distro=trixie"
        );
        p.origin = "vendor".into();
        assert!(purl(&p, "").starts_with("pkg:deb/vendor/libstdc%2B%2B6@"));
        assert!(purl(&p, "").ends_with("?arch=amd64"));
    }
}
