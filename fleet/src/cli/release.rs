//! `release`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

use super::Common;
use super::client::{Client, Failure};
use super::output::{plain, print, table, time};
use super::source::{Source, Trust};
use crate::wire::{ArtifactInfo, NewModule, NewRelease, ReleaseInfo, Releases};

/// Releases
#[derive(Subcommand)]
pub(crate) enum Release {
    /// Add one from a directory or a .roam file
    #[command(after_help = "Examples:
  roamcore-fleet release add out/bare-vp2430/latest.update --trust roles.json
  roamcore-fleet release add bare-1.4.0.roam

The directory or file holds update.json and what it names; sizes and hashes are compared while it is sent. --trust also
verifies the signatures, as a device would that has this role document in its image. A directory without update.json
needs --name and --release-version; all its files are taken.")]
    Add {
        /// A directory, or a .roam file
        path: PathBuf,
        /// Role documents to begin with (roles.json of an image): verify the signatures
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
        /// Name, where there is no update.json
        #[arg(long, requires = "release_version")]
        name: Option<String>,
        /// Version, where there is no update.json
        #[arg(long, value_name = "VERSION", requires = "name")]
        release_version: Option<String>,
    },
    /// List all
    #[command(after_help = "Example:\n  roamcore-fleet release list")]
    List,
    /// Show one with its files
    #[command(after_help = "Example:\n  roamcore-fleet release show 3 --json")]
    Show {
        /// Its number
        release: i64,
    },
    /// Remove one that no device has or had
    #[command(after_help = "Example:\n  roamcore-fleet release delete 3")]
    Delete {
        /// Its number
        release: i64,
    },
}

/// Does it.
pub(super) async fn run(common: &Common, verb: Release) -> Result<(), Failure> {
    match verb {
        Release::Add {
            path,
            trust,
            name,
            release_version,
        } => {
            // Before the server is asked anything: a release that is refused is refused offline too.
            let trust = trust.as_deref().map(Trust::read).transpose()?;
            let source = Source::open(&path, name.zip(release_version), trust.as_ref())?;
            let added = add(&common.client()?, source).await?;
            print(common, &added, || describe(&added));
        }
        Release::List => {
            let found: Releases = common.client()?.get("releases").await?;
            let rows: Vec<Vec<String>> = found.releases.iter().map(row).collect();
            let head = ["ID", "NAME", "VERSION", "FILES", "MB", "", "ADDED"];
            print(common, &found, || table(&head, &rows));
        }
        Release::Show { release } => {
            let found: ReleaseInfo = common.client()?.get(&format!("releases/{release}")).await?;
            print(common, &found, || describe(&found));
        }
        Release::Delete { release } => {
            common
                .client()?
                .delete::<()>(&format!("releases/{release}"))
                .await?;
            print(common, &json!({"deleted": release}), || {
                format!("deleted release {release}")
            });
        }
    }
    Ok(())
}

async fn add(client: &Client, source: Source) -> Result<ReleaseInfo, Failure> {
    let module = NewModule {
        part: "os".into(),
        name: source.name.clone(),
        version: source.version.clone(),
        metadata: BTreeMap::new(),
    };
    let wanted = NewRelease {
        name: source.name.clone(),
        version: source.version.clone(),
        modules: vec![module],
        note: source.note.clone(),
    };
    let release: ReleaseInfo = client.send(Method::POST, "releases", &wanted).await?;
    match send_files(client, &release, &source).await {
        Ok(()) => client.get(&format!("releases/{}", release.id)).await,
        Err(failure) => {
            // Half a release is none, and its name has to be free for another try.
            drop(
                client
                    .delete::<()>(&format!("releases/{}", release.id))
                    .await,
            );
            Err(failure)
        }
    }
}

async fn send_files(
    client: &Client,
    release: &ReleaseInfo,
    source: &Source,
) -> Result<(), Failure> {
    let Some(module) = release.modules.first() else {
        return Err(Failure::Answer {
            url: "the server".into(),
            why: "the release has no module".into(),
        });
    };
    for file in &source.files {
        let mut path = format!(
            "releases/{}/modules/{}/artifacts/{}",
            release.id, module.id, file.name
        );
        if let Some(sha256) = &file.sha256 {
            path += &format!("?sha256={sha256}");
        }
        let _: ArtifactInfo = client.upload(&path, file.body()?).await?;
    }
    Ok(())
}

fn files(release: &ReleaseInfo) -> impl Iterator<Item = &ArtifactInfo> {
    release.modules.iter().flat_map(|module| &module.artifacts)
}

fn row(release: &ReleaseInfo) -> Vec<String> {
    let bytes: u64 = files(release).map(|file| file.size).sum();
    vec![
        release.id.to_string(),
        release.name.clone(),
        release.version.clone(),
        files(release).count().to_string(),
        bytes.div_ceil(1_000_000).to_string(),
        if release.locked { "deployed" } else { "" }.to_owned(),
        time(Some(release.created)),
    ]
}

fn describe(release: &ReleaseInfo) -> String {
    let mut text = format!(
        "release {}: {} {}\n",
        release.id,
        plain(&release.name),
        plain(&release.version)
    );
    for (key, value) in &release.note {
        text += &format!("  {}: {}\n", plain(key), plain(value));
    }
    for file in files(release) {
        text += &format!(
            "  {:<24}{:>14}  {}\n",
            plain(&file.name),
            file.size,
            plain(&file.sha256)
        );
    }
    text
}
