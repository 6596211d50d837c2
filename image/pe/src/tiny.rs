//! The smallest PE32+ EFI application this crate's parser accepts, for tests here and in crates that need a stub or
//! kernel but no real one. Built from the same structs that parse it. Never used for anything that ships.

use crate::pe::{MACHINE_AMD64, SECTION_HEADER_SIZE, Section};

/// Shape of a tiny image.
#[derive(Debug, Clone)]
pub struct Tiny {
    /// Section names and contents.
    pub sections: Vec<(&'static str, Vec<u8>)>,
    /// SizeOfHeaders; must hold 240 bytes of fixed headers plus 40 per section.
    pub size_of_headers: u32,
    /// SizeOfImage override; computed when `None`.
    pub size_of_image: Option<u32>,
}

const FILE_ALIGNMENT: u32 = 0x200;
const SECTION_ALIGNMENT: u32 = 0x1000;
const PE_OFFSET: u32 = 0x40;

impl Default for Tiny {
    /// A stub with .text, .sbat and .sdmagic and room for UKI sections.
    fn default() -> Self {
        let text = |s: &str| s.as_bytes().to_vec();
        Self {
            sections: vec![
                (".text", vec![0xc3; 700]),
                (
                    ".sbat",
                    text(
                        "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n",
                    ),
                ),
                (".sdmagic", text("#### LoaderInfo: systemd-stub 257 ####")),
            ],
            size_of_headers: 0x600,
            size_of_image: None,
        }
    }
}

impl Tiny {
    /// The image bytes.
    pub fn build(&self) -> Vec<u8> {
        let mut headers = Vec::new();
        let mut data = Vec::new();
        let mut address = self.size_of_headers.next_multiple_of(SECTION_ALIGNMENT);
        for (name, content) in &self.sections {
            let mut padded = [0; 8];
            padded
                .iter_mut()
                .zip(name.bytes())
                .for_each(|(slot, b)| *slot = b);
            let raw_size = (content.len() as u32).next_multiple_of(FILE_ALIGNMENT);
            let section = Section {
                name: padded,
                virtual_size: content.len() as u32,
                virtual_address: address,
                raw_size,
                raw_offset: self.size_of_headers + data.len() as u32,
                characteristics: 0x4000_0040,
            };
            address = (address + section.virtual_size).next_multiple_of(SECTION_ALIGNMENT);
            headers.extend(section.encode());
            data.extend(content);
            data.resize(data.len().next_multiple_of(FILE_ALIGNMENT as usize), 0);
        }
        let mut out = b"MZ".to_vec();
        out.resize(0x3c, 0);
        out.extend(PE_OFFSET.to_le_bytes());
        out.extend(b"PE\0\0");
        out.extend(MACHINE_AMD64.to_le_bytes());
        out.extend(((headers.len() / SECTION_HEADER_SIZE) as u16).to_le_bytes());
        out.extend([0; 12]);
        out.extend(240u16.to_le_bytes()); // 112 fixed bytes + 16 data directories
        out.extend(0x22eu16.to_le_bytes());
        let mut optional = vec![0u8; 240];
        let mut put = |at: usize, value: &[u8]| {
            optional
                .iter_mut()
                .skip(at)
                .zip(value)
                .for_each(|(slot, b)| *slot = *b);
        };
        put(0, &0x20bu16.to_le_bytes());
        put(32, &SECTION_ALIGNMENT.to_le_bytes());
        put(36, &FILE_ALIGNMENT.to_le_bytes());
        put(56, &self.size_of_image.unwrap_or(address).to_le_bytes());
        put(60, &self.size_of_headers.to_le_bytes());
        put(68, &10u16.to_le_bytes()); // EFI application
        put(108, &16u32.to_le_bytes());
        out.extend(optional);
        out.extend(headers);
        out.resize(self.size_of_headers as usize, 0);
        out.extend(data);
        out
    }
}
