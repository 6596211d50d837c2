//! Facts of the disk layout that the builder puts into the initrd.
//!
//! Owns: the format of `/usr/lib/roamcore/layout.json`, written by the builder and read by
//! `prepare-root`. Never does: I/O. Invariant: a `Layout` that exists has passed `validate`.

use serde::{Deserialize, Serialize};

/// Below /usr, in the initrd.
pub const PATH: &str = "lib/roamcore/layout.json";

/// The only format so far.
const FORMAT: u32 = 1;

/// GPT labels have 36 UTF-16 units.
const LONGEST_LABEL: usize = 36;

/// What the initrd must know about the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    format: u32,
    product: String,
    minimum_disk_bytes: u64,
    partitions: Vec<String>,
}

/// Why a layout was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    /// Not JSON of the known shape.
    #[error("layout.json: {0}; rebuild the image with a matching builder")]
    Shape(String),
    /// Another format.
    #[error(
        "layout.json has format {0}, this agent knows format {FORMAT}; agent and builder must come from one release"
    )]
    Format(u64),
    /// No product.
    #[error("layout: the product name is empty")]
    NoProduct,
    /// Zero minimum.
    #[error("layout: minimum_disk_bytes is 0, so no disk would ever be refused")]
    NoMinimum,
    /// A label GPT or our own naming does not allow.
    #[error("layout: partition label {0:?} is not 1 to 36 of a-z, 0-9 and '-'")]
    BadLabel(String),
    /// The same label twice.
    #[error("layout: partition label {0:?} is listed twice")]
    Twice(String),
    /// No state partition.
    #[error("layout: the partition \"state\" is not listed: {0:?}")]
    NoState(Vec<String>),
}

impl Layout {
    /// A validated layout; `partitions` are all labels expected after the first boot.
    pub fn new(
        product: &str,
        minimum_disk_bytes: u64,
        partitions: Vec<String>,
    ) -> Result<Self, LayoutError> {
        Self {
            format: FORMAT,
            product: product.to_owned(),
            minimum_disk_bytes,
            partitions,
        }
        .validated()
    }

    /// Parses and validates; the format number is looked at before anything else.
    pub fn from_json(text: &str) -> Result<Self, LayoutError> {
        #[derive(Deserialize)]
        struct Versioned {
            format: u64,
        }
        let shape = |error: serde_json::Error| LayoutError::Shape(error.to_string());
        let versioned: Versioned = serde_json::from_str(text).map_err(shape)?;
        if versioned.format != u64::from(FORMAT) {
            return Err(LayoutError::Format(versioned.format));
        }
        serde_json::from_str::<Self>(text)
            .map_err(shape)?
            .validated()
    }

    /// The file's text, always the same for the same layout.
    pub fn to_json(&self) -> String {
        // Four fields of plain types: assembling them needs no failing serializer.
        format!(
            "{}\n",
            serde_json::json!({
                "format": self.format,
                "minimum_disk_bytes": self.minimum_disk_bytes,
                "partitions": self.partitions,
                "product": self.product,
            })
        )
    }

    /// Product name, for messages.
    pub fn product(&self) -> &str {
        &self.product
    }

    /// The smallest disk the product can run on.
    pub fn minimum_disk_bytes(&self) -> u64 {
        self.minimum_disk_bytes
    }

    /// Labels expected after the first boot.
    pub fn partitions(&self) -> &[String] {
        &self.partitions
    }

    fn validated(self) -> Result<Self, LayoutError> {
        if self.product.trim().is_empty() {
            return Err(LayoutError::NoProduct);
        }
        if self.minimum_disk_bytes == 0 {
            return Err(LayoutError::NoMinimum);
        }
        for (index, label) in self.partitions.iter().enumerate() {
            let plain = label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !plain || label.is_empty() || label.len() > LONGEST_LABEL {
                return Err(LayoutError::BadLabel(label.clone()));
            }
            if self.partitions[..index].contains(label) {
                return Err(LayoutError::Twice(label.clone()));
            }
        }
        if !self.partitions.iter().any(|label| label == "state") {
            return Err(LayoutError::NoState(self.partitions));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table() {
        let labels = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let good = Layout::new("bare", 32, labels(&["esp", "state"])).unwrap();
        assert_eq!(Layout::from_json(&good.to_json()).unwrap(), good);
        let cases = [
            (
                Layout::new(" ", 1, labels(&["state"])),
                "the product name is empty",
            ),
            (
                Layout::new("p", 0, labels(&["state"])),
                "minimum_disk_bytes is 0",
            ),
            (
                Layout::new("p", 1, labels(&["esp"])),
                "\"state\" is not listed: [\"esp\"]",
            ),
            (
                Layout::new("p", 1, labels(&["state", "state"])),
                "\"state\" is listed twice",
            ),
            (
                Layout::new("p", 1, labels(&["../x"])),
                "label \"../x\" is not",
            ),
            (Layout::from_json("{\"format\":2,\"new\":1}"), "format 2"),
            (Layout::from_json("{}"), "missing field `format`"),
            (
                Layout::from_json("{\"format\":1,\"colour\":1}"),
                "unknown field `colour`",
            ),
        ];
        for (got, want) in cases {
            let text = got.unwrap_err().to_string();
            assert!(text.contains(want), "{text:?} lacks {want:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*") {
            drop(Layout::from_json(&text));
        }
    }
}
