//! Turns QEMU's screen dump (PPM) into PNG.
//!
//! Owns the small part of the PPM format that QEMU writes: `P6`, one comment-free header, eight bits per colour.
//! QEMU can write PNG itself only where it was built with libpng, so the harness does not rely on that.

use std::path::Path;

use crate::error::{Error, Result, file};

/// An RGB picture.
#[derive(Debug)]
pub struct Picture {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    rgb: Vec<u8>,
}

impl Picture {
    /// Reads a PPM.
    pub fn from_ppm(bytes: &[u8]) -> Result<Self> {
        let bad = |reason: String| Error::Format {
            what: "screen dump".into(),
            reason,
        };
        let mut fields = bytes.splitn(5, |b| b.is_ascii_whitespace());
        let mut word = || {
            fields
                .next()
                .map(|w| String::from_utf8_lossy(w).into_owned())
                .unwrap_or_default()
        };
        let (magic, width, height, depth) = (word(), word(), word(), word());
        if magic != "P6" || depth != "255" {
            return Err(bad(format!(
                "wanted P6 with 255 levels, found {magic:.8} with {depth:.8}"
            )));
        }
        let number = |text: &str| {
            text.parse::<u32>()
                .map_err(|e| bad(format!("size `{text:.16}`: {e}")))
        };
        let (width, height) = (number(&width)?, number(&height)?);
        let rgb = fields.next().unwrap_or_default().to_vec();
        let wanted = u64::from(width) * u64::from(height) * 3;
        if rgb.len() as u64 != wanted {
            return Err(bad(format!(
                "{width}x{height} needs {wanted} bytes, found {}",
                rgb.len()
            )));
        }
        Ok(Self { width, height, rgb })
    }

    /// Whether the picture shows more than one colour.
    pub fn shows_something(&self) -> bool {
        self.rgb
            .chunks_exact(3)
            .any(|pixel| pixel != &self.rgb[..3])
    }

    /// Writes a PNG.
    pub fn save_png(&self, path: &Path) -> Result<()> {
        let bad = |e: png::EncodingError| Error::Format {
            what: path.display().to_string(),
            reason: e.to_string(),
        };
        let out = std::fs::File::create(path).map_err(file("create", path))?;
        let mut encoder = png::Encoder::new(out, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder
            .write_header()
            .and_then(|mut w| w.write_image_data(&self.rgb))
            .map_err(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_qemu_writes_even_when_pixels_look_like_blanks() {
        let picture = Picture::from_ppm(b"P6\n2 1\n255\n\n\n\nabc").unwrap();
        assert_eq!(
            (picture.width, picture.height, picture.rgb.as_slice()),
            (2, 1, &b"\n\n\nabc"[..])
        );
        assert!(picture.shows_something());
        let dir = tempfile::tempdir().unwrap();
        picture.save_png(&dir.path().join("x.png")).unwrap();
        assert!(
            std::fs::read(dir.path().join("x.png"))
                .unwrap()
                .starts_with(b"\x89PNG")
        );
    }

    #[test]
    fn refuses_a_short_dump() {
        let error = Picture::from_ppm(b"P6\n2 2\n255\nabc").unwrap_err();
        assert_eq!(
            error.to_string(),
            "screen dump: 2x2 needs 12 bytes, found 3"
        );
    }
}
