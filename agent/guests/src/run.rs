//! Does the steps.
//!
//! Owns: the order survey, plan, steps, survey. Never does: decide (the planner does). Invariants: it ends when there is no
//! step left, or with an error; it never goes round without getting on.

use roamcore_agent::files::At;
use roamcore_agent::log;

use crate::command;
use crate::fill::{self, Content, FillError, TemplateFault};
use crate::machine::{Machine, MachineError};
use crate::names::{DiskId, Volume};
use crate::next::{Bad, Refusal, Situation, Step, next};
use crate::plan::{Format, Plan, Template};
use crate::record::{Record, RecordError};
use crate::report::{Lvm, ReportError};

/// Group, pool, scrap, volumes, and one to see that nothing is left; each template that fails costs one more.
const MOST_ROUNDS: usize = 8;
/// Progress is told in steps of this many bytes.
const TELL: u64 = 64 << 20;

/// What happens, for a person or a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A step begins.
    Step(Step),
    /// A template is on its way; `of` counts its bytes twice: writing, and reading back.
    Importing {
        /// Its id.
        id: String,
        /// Bytes done.
        done: u64,
        /// Bytes in all.
        of: u64,
    },
    /// A template is not what was promised, or the disk did not keep it.
    BadTemplate {
        /// Its id.
        id: String,
        /// Why, with its causes.
        why: String,
    },
}

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Steps that were done.
    pub steps: usize,
    /// What was left undone, and why.
    pub refusals: Vec<Refusal>,
}

/// Why it did not end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// What LVM says.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Nothing can be done at all.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A step that is done and still to do.
    #[error("after {rounds} rounds there are still steps to do, the first is {first:?}")]
    NoEnd {
        /// Rounds done.
        rounds: usize,
        /// The first step.
        first: Box<Step>,
    },
}

/// Reads what LVM reports.
///
/// # Errors
/// LVM fails, or is not understood.
pub fn survey(plan: &Plan, machine: &mut dyn Machine) -> Result<Lvm, RunError> {
    let device = machine.device();
    let [pvs, vgs, lvs] = command::survey(&device);
    let (pvs, vgs, lvs) = (machine.lvm(&pvs)?, machine.lvm(&vgs)?, machine.lvm(&lvs)?);
    Ok(Lvm::parse(&device, &plan.pool.group, &pvs, &vgs, &lvs)?)
}

/// Reads the record.
///
/// # Errors
/// It is there and cannot be read.
pub fn record(machine: &mut dyn Machine) -> Result<Record, RunError> {
    Ok(match machine.load()? {
        Some(bytes) => Record::parse(&bytes)?,
        None => Record::default(),
    })
}

/// Writes the record.
///
/// # Errors
/// It cannot be written.
pub fn save(machine: &mut dyn Machine, record: &Record) -> Result<(), RunError> {
    Ok(machine.save(&record.encode()?)?)
}

/// Does what is to be done, until nothing is.
///
/// # Errors
/// The machine fails, or nothing can be done at all. Doing it again goes on where it ended.
pub fn run(
    plan: &Plan,
    machine: &mut dyn Machine,
    events: &mut dyn FnMut(Event),
) -> Result<Outcome, RunError> {
    let mut record = record(machine)?;
    let mut bad = Bad::default();
    let mut outcome = Outcome::default();
    let mut round = 0;
    loop {
        let lvm = survey(plan, machine)?;
        let situation = Situation {
            plan,
            lvm: &lvm,
            record: &record,
            bad: &bad,
        };
        let todo = next(&situation, &machine.device())?;
        for refusal in todo.refusals {
            if !outcome.refusals.contains(&refusal) {
                log::error(&refusal);
                outcome.refusals.push(refusal);
            }
        }
        let Some(first) = todo.steps.first() else {
            return Ok(outcome);
        };
        round += 1;
        if round > MOST_ROUNDS + bad.templates.len() + bad.disks.len() {
            return Err(RunError::NoEnd {
                rounds: round - 1,
                first: Box::new(first.clone()),
            });
        }
        for step in &todo.steps {
            events(Event::Step(step.clone()));
            match perform(plan, machine, &mut record, step, events)? {
                Done::Whole => outcome.steps += 1,
                // What hangs on it is planned again, without it.
                Done::BadTemplate(number) => {
                    bad.templates.insert(number);
                    break;
                }
                Done::BadDisk(id) => {
                    bad.disks.insert(id);
                    break;
                }
            }
        }
    }
}

enum Done {
    Whole,
    BadTemplate(u32),
    BadDisk(DiskId),
}

fn perform(
    plan: &Plan,
    machine: &mut dyn Machine,
    record: &mut Record,
    step: &Step,
    events: &mut dyn FnMut(Event),
) -> Result<Done, RunError> {
    if let Some(arguments) = command::of(step, &plan.pool, &machine.device()) {
        machine.lvm(&arguments)?;
        return Ok(Done::Whole);
    }
    match step {
        Step::Fill { number } => {
            if let Some(template) = plan.templates.iter().find(|t| t.number == *number) {
                return fill_base(plan, machine, template, events);
            }
        }
        Step::Personalize { id } => match personalize(plan, machine, *id) {
            Err(RunError::Machine(error @ MachineError::NothingPersonal { .. })) => {
                log::error(&error);
                return Ok(Done::BadDisk(*id));
            }
            other => other?,
        },
        Step::RememberPool { uuid } => {
            record.pool = Some(uuid.clone());
            save(machine, record)?;
        }
        Step::RememberDisk { id } => {
            record.note(*id);
            save(machine, record)?;
        }
        Step::EndJob { vmid } => {
            record.jobs.retain(|job| job.vmid != *vmid);
            save(machine, record)?;
        }
        _ => {}
    }
    Ok(Done::Whole)
}

fn personalize(plan: &Plan, machine: &mut dyn Machine, id: DiskId) -> Result<(), RunError> {
    let Some(guest) = plan.guest(id.vmid) else {
        return Ok(());
    };
    let Some(disk) = guest.disks.iter().find(|disk| disk.number == id.disk) else {
        return Ok(());
    };
    let volume = Volume::New(id);
    let device = machine.device();
    machine.lvm(&command::activate(&plan.pool, volume, &device))?;
    let block = machine.volume(&plan.pool.group, &volume.to_string())?;
    machine.personalize(guest, disk, block.as_ref())?;
    let flushed = block.sync().at("flush", block.path());
    Ok(flushed.map_err(MachineError::from)?)
}

fn fill_base(
    plan: &Plan,
    machine: &mut dyn Machine,
    template: &Template,
    events: &mut dyn FnMut(Event),
) -> Result<Done, RunError> {
    let volume = Volume::BaseNew {
        number: template.number,
    };
    let device = machine.device();
    machine.lvm(&command::activate(&plan.pool, volume, &device))?;
    let why = match content(machine, template) {
        Ok(content) => match import(plan, machine, template, volume, content, events) {
            Ok(()) => return Ok(Done::Whole),
            Err(Import::Machine(error)) => return Err(error.into()),
            Err(Import::Bad(fault)) => chain(&fault),
        },
        Err(why) => why,
    };
    log::error(format!("template {:?}: {why}", template.id));
    events(Event::BadTemplate {
        id: template.id.clone(),
        why,
    });
    Ok(Done::BadTemplate(template.number))
}

enum Import {
    Machine(MachineError),
    Bad(TemplateFault),
}

impl<E: Into<MachineError>> From<E> for Import {
    fn from(error: E) -> Self {
        Self::Machine(error.into())
    }
}

/// A file that cannot be opened is the fault of one template, not of all.
fn content(machine: &mut dyn Machine, template: &Template) -> Result<Content<'static>, String> {
    let file = machine.seed(&template.file).map_err(|e| chain(&e))?;
    Content::new(template, file).map_err(|e| chain(&e))
}

fn import(
    plan: &Plan,
    machine: &mut dyn Machine,
    template: &Template,
    volume: Volume,
    mut content: Content<'static>,
    events: &mut dyn FnMut(Event),
) -> Result<(), Import> {
    let (group, name) = (&plan.pool.group, volume.to_string());
    let of = template.size * 2;
    let mut tell = |done: u64| {
        events(Event::Importing {
            id: template.id.clone(),
            done,
            of,
        });
    };
    if template.format == Format::Tar {
        // An archive has power over the program that unpacks it: it is known to be ours before that.
        std::io::copy(&mut content, &mut std::io::sink())
            .map_err(|source| Import::Bad(TemplateFault::Read { at: 0, source }))?;
        finish(content)?;
        let mut content = open_again(machine, template)?;
        let unpacked = machine.unpack(group, &name, &mut content);
        finish(content)?;
        unpacked?;
        tell(template.size);
        let mut again = open_again(machine, template)?;
        let compared = machine.compare(group, &name, &mut again);
        finish(again)?;
        return match compared {
            Ok(()) => {
                tell(of);
                Ok(())
            }
            Err(MachineError::Program { said, .. }) => {
                Err(Import::Bad(TemplateFault::Differs { said }))
            }
            Err(error) => Err(error.into()),
        };
    }
    let block = machine.volume(group, &name)?;
    let mut told = 0;
    let filled = fill::raw(template, content, block.as_ref(), &mut |done| {
        if done >= told + TELL || done == of {
            told = done;
            tell(done);
        }
    });
    match filled {
        Ok(()) => Ok(()),
        Err(FillError::Volume(error)) => Err(Import::Machine(error.into())),
        Err(FillError::Template(fault)) => Err(Import::Bad(fault)),
    }
}

fn open_again(machine: &mut dyn Machine, template: &Template) -> Result<Content<'static>, Import> {
    content(machine, template).map_err(|why| {
        let source = std::io::Error::other(why);
        Import::Bad(TemplateFault::Read { at: 0, source })
    })
}

fn finish(content: Content<'_>) -> Result<(), Import> {
    content.finish().map_err(Import::Bad)
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
