//! `check`: validate specifications without building.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args as ClapArgs;
use roamcore_image::build::DEVELOPMENT;
use roamcore_spec::load::{self, LoadError};
use roamcore_spec::names::Name;

use super::Context;

/// Arguments of `check`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example: roamcore-image check roamcore bare")]
pub struct Args {
    /// Appliances to check with their boards and overlays; otherwise everything in the checkout.
    appliances: Vec<Name>,
}

/// Runs the verb.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let all = args.appliances.is_empty();
    let appliances = if all {
        appliances(context)?
    } else {
        args.appliances
    };
    let mut failed = 0;
    let mut report = |what: String, result: Result<(), LoadError>| match result {
        Ok(()) if context.json => println!("{}", serde_json::json!({"v": 1, "checked": what})),
        Ok(()) => println!("ok: {what}"),
        Err(error) => {
            failed += 1;
            show(context, &error);
        }
    };
    let development: Name = DEVELOPMENT
        .parse()
        .context("the development overlay's name")?;
    for name in &appliances {
        // As a release has it and as a development image has it: with one more overlay.
        let root = &context.checkout;
        let both = load::project(root, name)
            .and_then(|_| load::project_with(root, name, std::slice::from_ref(&development)));
        report(format!("appliance {name}"), both.map(drop));
    }
    if all {
        for name in directories(context, "hardware")? {
            let board = load::board(&context.checkout, &name);
            report(format!("board {name}"), board.map(drop));
        }
        for name in directories(context, "overlays")? {
            let overlay = load::overlay(&context.checkout, &name);
            report(format!("overlay {name}"), overlay.map(drop));
        }
    }
    if failed > 0 {
        anyhow::bail!("{failed} of the documents are refused");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(context: &Context, error: &LoadError) {
    match error {
        LoadError::Invalid(problems) if context.json => {
            for problem in problems.reports() {
                println!("{}", serde_json::json!({"v": 1, "problem": problem}));
            }
        }
        LoadError::Invalid(problems) => {
            eprintln!("{}", problems.render(std::io::stderr().is_terminal()))
        }
        LoadError::Read { path, source } if context.json => {
            println!(
                "{}",
                serde_json::json!({"v": 1, "unreadable": path, "cause": source.to_string()})
            );
        }
        LoadError::Read { source, .. } => eprintln!("error: {error}: {source}"),
    }
}

fn appliances(context: &Context) -> Result<Vec<Name>> {
    let dir = context.checkout.join("appliances");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| format!("listing {}", dir.display()))? {
        let file = entry?.file_name();
        if let Some(stem) = file.to_str().and_then(|f| f.strip_suffix(".toml")) {
            names.push(
                stem.parse()
                    .with_context(|| format!("the file name {stem}.toml"))?,
            );
        }
    }
    names.sort();
    Ok(names)
}

fn directories(context: &Context, below: &str) -> Result<Vec<Name>> {
    let dir = context.checkout.join(below);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| format!("listing {}", dir.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let name = entry.file_name().to_string_lossy().into_owned();
            names.push(
                name.parse()
                    .with_context(|| format!("the directory {below}/{name}"))?,
            );
        }
    }
    names.sort();
    Ok(names)
}
