//! Reading the documents from a checkout: the only part of this crate that touches files.
//!
//! ```text
//! <root>/appliances/<name>.toml   <root>/hardware/<name>/board.toml   <root>/overlays/<name>/overlay.toml
//! ```

use std::io;
use std::path::{Path, PathBuf};

use crate::appliance::Appliance;
use crate::board::Board;
use crate::check::{cross_check, overlay_conflicts};
use crate::document::{Document, Spec};
use crate::fault::Fault;
use crate::names::Name;
use crate::overlay::Overlay;
use crate::problem::{Problem, Problems};

/// A document that could not be read, or that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file was read and refused.
    #[error(transparent)]
    Invalid(#[from] Problems),
}

/// An appliance with everything it refers to, checked together.
#[derive(Clone, Debug)]
pub struct Project {
    /// The appliance.
    pub appliance: Document<Appliance>,
    /// Its board.
    pub board: Document<Board>,
    /// Its overlays, in the order in which they are applied.
    pub overlays: Vec<Document<Overlay>>,
}

/// Where an appliance lies in a checkout.
pub fn appliance_path(root: &Path, name: &Name) -> PathBuf {
    root.join("appliances").join(format!("{name}.toml"))
}

/// Where a board lies in a checkout.
pub fn board_path(root: &Path, name: &Name) -> PathBuf {
    root.join("hardware").join(name.as_str()).join("board.toml")
}

/// Where an overlay lies in a checkout; its files are in `files/` beside it.
pub fn overlay_path(root: &Path, name: &Name) -> PathBuf {
    root.join("overlays")
        .join(name.as_str())
        .join("overlay.toml")
}

/// Reads one document.
pub fn document<T: Spec>(path: &Path) -> Result<Document<T>, LoadError> {
    let text = std::fs::read_to_string(path).map_err(|source| LoadError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(Document::parse(&path.display().to_string(), &text)?)
}

/// Reads a board and checks that it lies where its name says.
pub fn board(root: &Path, name: &Name) -> Result<Document<Board>, LoadError> {
    let board: Document<Board> = document(&board_path(root, name))?;
    Problems::check(misplaced(&board, &board.name, name))?;
    Ok(board)
}

/// Reads an overlay and checks that it lies where its name says.
pub fn overlay(root: &Path, name: &Name) -> Result<Document<Overlay>, LoadError> {
    let overlay: Document<Overlay> = document(&overlay_path(root, name))?;
    Problems::check(misplaced(&overlay, &overlay.name, name))?;
    Ok(overlay)
}

/// Reads a project and puts the overlays `extra` after its own. They are checked as if the appliance named them.
pub fn project_with(root: &Path, appliance: &Name, extra: &[Name]) -> Result<Project, LoadError> {
    let mut project = project(root, appliance)?;
    for name in extra {
        // An overlay that the appliance has already would only contradict itself.
        if !project.appliance.overlays.contains(name) {
            project.overlays.push(overlay(root, name)?);
        }
    }
    let used: Vec<&Document<Overlay>> = project.overlays.iter().collect();
    Problems::check(overlay_conflicts(&used))?;
    Ok(project)
}

/// Reads an appliance, its board and its overlays, and checks them together. Problems of all files are collected.
pub fn project(root: &Path, appliance: &Name) -> Result<Project, LoadError> {
    let path = appliance_path(root, appliance);
    let appliance_document: Document<Appliance> = document(&path)?;
    let mut problems: Vec<Problem> =
        misplaced(&appliance_document, &appliance_document.name, appliance);

    let board_name = &appliance_document.board;
    let board: Option<Document<Board>> = match document::<Board>(&board_path(root, board_name)) {
        Ok(board) => {
            problems.extend(misplaced(&board, &board.name, board_name));
            Some(board)
        }
        Err(LoadError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let fault = Fault::Missing {
                what: "board",
                name: board_name.to_string(),
            };
            let hint = format!("boards live in `hardware/{board_name}/board.toml`");
            problems.push(appliance_document.problem("board", fault, Some(hint)));
            None
        }
        Err(error) => collect(error, &mut problems)?,
    };

    let mut overlays: Vec<Document<Overlay>> = Vec::new();
    for (index, name) in appliance_document.overlays.iter().enumerate() {
        match document::<Overlay>(&overlay_path(root, name)) {
            Ok(overlay) => {
                problems.extend(misplaced(&overlay, &overlay.name, name));
                overlays.push(overlay);
            }
            Err(LoadError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let fault = Fault::Missing {
                    what: "overlay",
                    name: name.to_string(),
                };
                let hint = format!("overlays live in `overlays/{name}/overlay.toml`");
                problems.push(appliance_document.problem(
                    &format!("overlays[{index}]"),
                    fault,
                    Some(hint),
                ));
            }
            Err(error) => {
                collect::<Overlay>(error, &mut problems)?;
            }
        }
    }

    match board {
        Some(board) => {
            // With an overlay missing or refused, a check of the whole would only repeat that.
            Problems::check(problems)?;
            Problems::check(cross_check(&appliance_document, &board, &overlays))?;
            Ok(Project {
                appliance: appliance_document,
                board,
                overlays,
            })
        }
        None => Err(LoadError::Invalid(Problems::of(problems))),
    }
}

/// Keeps the problems of a refused document and goes on; a file that cannot be read ends the work.
fn collect<T>(
    error: LoadError,
    problems: &mut Vec<Problem>,
) -> Result<Option<Document<T>>, LoadError> {
    match error {
        LoadError::Invalid(found) => {
            problems.extend(found.into_vec());
            Ok(None)
        }
        error @ LoadError::Read { .. } => Err(error),
    }
}

fn misplaced<T: Spec>(document: &Document<T>, name: &Name, expected: &Name) -> Vec<Problem> {
    if name == expected {
        return Vec::new();
    }
    let fault = Fault::Misplaced {
        document: T::KIND,
        name: name.to_string(),
        expected: expected.to_string(),
    };
    vec![document.problem("name", fault, None)]
}
