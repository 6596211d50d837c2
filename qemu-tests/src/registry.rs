//! What a test is: a row in a table.
//!
//! Owns names, groups and preconditions. Invariant: a test whose precondition does not hold is skipped with the reason,
//! never passed.

use crate::context::Ctx;
use crate::hawkbit;
use crate::net::Lan;
use crate::release;
use crate::tool;

/// When a test runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// With every change, thus also in `all`.
    Ci,
    /// In the long run only.
    All,
}

/// What a test cannot do without.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// An image to boot.
    Image,
    /// An image of this appliance.
    Appliance(&'static str),
    /// A program on the host.
    Tool(&'static str),
    /// A network namespace with a tap.
    Lan,
    /// The builder and the agent, for a further release.
    Builder,
    /// The embedded fleet server.
    Fleet,
    /// Real hawkBit.
    HawkBit,
}

impl Need {
    /// Why it does not hold, if so, with the image chosen that [`Test::appliance`] names.
    pub fn lacking(self, ctx: &Ctx) -> Option<String> {
        match self {
            Self::Image => (!ctx.has_image())
                .then(|| "no image: give its release directory with --image".into()),
            Self::Appliance(wanted) => match ctx.image() {
                Err(error) => Some(error.to_string()),
                Ok(image) if image.appliance == wanted => None,
                Ok(image) => Some(format!(
                    "for the appliance `{wanted}`, the image is `{}`",
                    image.appliance
                )),
            },
            Self::Tool(program) => tool::find(program)
                .is_none()
                .then(|| format!("`{program}` is not installed")),
            Self::Lan => Lan::impossible(),
            Self::Builder => release::impossible(),
            Self::HawkBit => hawkbit::impossible(),
            Self::Fleet => release::program("roamcore-fleet")
                .err()
                .map(|e| e.to_string()),
        }
    }
}

/// A precondition that only the running test could find out. Return it as the error: `Err(Skip(reason).into())`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Skip(pub String);

/// One test.
#[derive(Debug)]
pub struct Test {
    /// Name on the command line.
    pub name: &'static str,
    /// What it proves, in one sentence.
    pub proves: &'static str,
    /// When it runs.
    pub group: Group,
    /// What it needs.
    pub needs: &'static [Need],
    /// Does it; gives one line for each thing proved.
    pub run: fn(&Ctx) -> anyhow::Result<Vec<String>>,
}

impl Test {
    /// The appliance it must be given, if not any.
    pub fn appliance(&self) -> Option<&'static str> {
        self.needs.iter().find_map(|need| match need {
            Need::Appliance(name) => Some(*name),
            _ => None,
        })
    }
}

/// The tests that `words` name: test names, `ci` or `all`; none at all means `ci`. In the table's order, each once.
pub fn select<'a>(tests: &'a [Test], words: &[String]) -> Result<Vec<&'a Test>, String> {
    let ci = ["ci".to_owned()];
    let words = if words.is_empty() { &ci } else { words };
    let known = |word: &str| word == "ci" || word == "all" || tests.iter().any(|t| t.name == word);
    if let Some(unknown) = words.iter().find(|word| !known(word)) {
        let names: Vec<&str> = tests.iter().map(|t| t.name).collect();
        return Err(format!(
            "no test or group `{unknown}`; there are ci, all, {}",
            names.join(", ")
        ));
    }
    let wanted = |test: &&Test| {
        words.iter().any(|word| {
            word == test.name || word == "all" || (word == "ci" && test.group == Group::Ci)
        })
    };
    Ok(tests.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn row(name: &'static str, group: Group) -> Test {
        Test {
            name,
            proves: "",
            group,
            needs: &[],
            run: |_| Ok(Vec::new()),
        }
    }

    #[test]
    fn words_select_in_table_order_each_once() {
        let table = [
            row("a", Group::Ci),
            row("b", Group::All),
            row("c", Group::Ci),
        ];
        let names = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|w| w.to_string()).collect();
            select(&table, &words).map(|tests| tests.iter().map(|t| t.name).collect::<String>())
        };
        assert_eq!(names(&[]).unwrap(), "ac");
        assert_eq!(names(&["c", "b", "c"]).unwrap(), "bc");
        assert_eq!(names(&["all"]).unwrap(), "abc");
        assert_eq!(
            names(&["x"]).unwrap_err(),
            "no test or group `x`; there are ci, all, a, b, c"
        );
    }

    #[test]
    fn the_real_table_has_unique_names_that_are_not_groups() {
        let names: std::collections::BTreeSet<&str> =
            crate::scenarios::ALL.iter().map(|t| t.name).collect();
        assert_eq!(names.len(), crate::scenarios::ALL.len());
        assert!(!names.contains("ci") && !names.contains("all"));
    }
}
