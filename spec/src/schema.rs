//! JSON schemas for editors, from the same types that parse.

use schemars::generate::SchemaSettings;

use crate::appliance::Appliance;
use crate::board::Board;
use crate::overlay::Overlay;

/// The three schemas (draft 07, which editors' TOML plugins read) as file name and text.
pub fn all() -> [(&'static str, String); 3] {
    [
        ("appliance.schema.json", text::<Appliance>()),
        ("board.schema.json", text::<Board>()),
        ("overlay.schema.json", text::<Overlay>()),
    ]
}

fn text<T: schemars::JsonSchema>() -> String {
    let schema = SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<T>();
    // `{:#}` of a JSON value is its indented text.
    format!("{:#}\n", schema.as_value())
}
