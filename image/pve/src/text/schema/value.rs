//! One value: its type, whether it is one, and how Proxmox would spell it.

use super::super::Props;
use super::{Invalid, rules};

/// Text of a kind.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// What is expected, for the error.
    pub expected: &'static str,
    /// Whether a text is that.
    pub test: fn(&str) -> bool,
}

/// The type of a value.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    /// 1, 0 and their words.
    Bool,
    /// A whole number from and to.
    Int(u64, u64),
    /// A decimal number up to.
    Number(u64),
    /// One of these words.
    Enum(&'static [&'static str]),
    /// Text of a kind.
    Text(&'static Rule),
    /// One or more, with this between them.
    List(char, &'static Value),
    /// Bytes with a unit of 1024.
    Size,
    /// Parts.
    Props(&'static Format),
}

/// A property string's properties.
#[derive(Debug)]
pub struct Format {
    /// The one that may stand without its name.
    pub default: Option<&'static str>,
    /// Two that are written as `first=second`.
    pub pair: Option<Pair>,
    /// All of them.
    pub props: &'static [Prop],
    /// What one needs of another: the first thing that is wrong.
    pub also: fn(&Props) -> Option<&'static str>,
}

/// Nothing needs another.
pub(super) const fn free(_: &Props) -> Option<&'static str> {
    None
}

/// `virtio=MAC`: the model, and the address that goes with it.
#[derive(Debug)]
pub struct Pair {
    /// The property that the left side is.
    pub first: &'static str,
    /// The property that the right side is.
    pub second: &'static str,
    /// What may be on the left.
    pub names: &'static [&'static str],
}

/// A property, or a key of a section.
#[derive(Debug, Clone, Copy)]
pub struct Prop {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub value: Value,
    /// Whether it must be there.
    pub required: bool,
}

pub(super) const fn prop(name: &'static str, value: Value) -> Prop {
    Prop {
        name,
        value,
        required: false,
    }
}

pub(super) const fn required(name: &'static str, value: Value) -> Prop {
    Prop {
        name,
        value,
        required: true,
    }
}

impl Format {
    pub(crate) fn prop(&self, name: &str) -> Option<&Prop> {
        self.props.iter().find(|prop| prop.name == name)
    }

    pub(crate) fn canonical(&self, name: &str, value: &str) -> String {
        match self.prop(name).map(|prop| prop.value) {
            Some(Value::Bool) => {
                rules::boolean(value).map_or(value.into(), |b| u8::from(b).to_string())
            }
            Some(Value::Size) => rules::size(value).map_or(value.into(), rules::format_size),
            _ => value.into(),
        }
    }
}

impl Value {
    pub(crate) fn check(&self, name: &str, value: &str) -> Result<(), Invalid> {
        let expected: String = match self {
            Self::Bool if rules::boolean(value).is_some() => return Ok(()),
            Self::Bool => "expected 1 or 0".into(),
            Self::Int(from, to) => match rules::integer(value) {
                Some(number) if (from..=to).contains(&&number) => return Ok(()),
                _ if *to == u64::MAX => format!("expected a whole number from {from}"),
                _ => format!("expected a whole number from {from} to {to}"),
            },
            Self::Number(to) => match rules::number(value) {
                Some(whole) if whole <= *to => return Ok(()),
                _ => format!("expected a decimal number up to {to}"),
            },
            Self::Enum(words) if words.contains(&value) => return Ok(()),
            Self::Enum(words) => format!("expected one of {}", words.join(", ")),
            Self::Text(rule) if (rule.test)(value) => return Ok(()),
            Self::Text(rule) => format!("expected {}", rule.expected),
            Self::List(between, one) => {
                return value
                    .split(*between)
                    .try_for_each(|part| one.check(name, part));
            }
            Self::Size if rules::size(value).is_some() => return Ok(()),
            Self::Size => "expected a whole number of bytes, or with K, M, G or T".into(),
            Self::Props(format) => {
                let within = |error: Invalid| Invalid {
                    key: format!("{name}: {}", error.key),
                    ..error
                };
                return Props::parse(format, value).map(|_| ()).map_err(within);
            }
        };
        Err(Invalid::new(name, value, &expected))
    }

    pub(super) fn canonical(&self, value: &str) -> Result<String, Invalid> {
        Ok(match self {
            Self::Bool => rules::boolean(value).map_or(value.into(), |b| u8::from(b).to_string()),
            Self::Props(format) => Props::parse(format, value)?.text(format)?,
            _ => value.into(),
        })
    }
}
