//! What each statement does to the session and what it answers, whichever protocol carries it.

use std::collections::BTreeSet;

use super::super::script::Act;
use super::{Answer, Block, Cell, Expect, Expected, Outcome, Rows};

impl Expected {
    pub(super) fn perform(
        &mut self,
        act: &Act,
        params: &[String],
        binary: bool,
    ) -> Outcome<Answer> {
        let text = |text: &str| Answer::Rows(Rows::One(Some(vec![Cell::Text(text.to_owned())])));
        let int = |value: i64, bytes: usize| Cell::Int {
            value,
            bytes,
            binary,
        };
        Ok(match act {
            Act::Tag(tag) => text(tag),
            Act::TagParam => text(&params[0]),
            Act::Number(number) => Answer::Rows(Rows::One(Some(vec![int((*number).into(), 4)]))),
            Act::TagParamNumber(number) => Answer::Rows(Rows::One(Some(vec![
                Cell::Text(params[0].clone()),
                int((*number).into(), 4),
            ]))),
            Act::Set {
                local, name, shown, ..
            } => {
                if *local && !matches!(self.block, Block::Implicit | Block::Open) {
                    self.out.push(Expect::Notice("25P01"));
                }
                self.assign(*local, name, shown);
                Answer::Tag("SET")
            }
            Act::SetConfig { local, name, shown } => {
                self.assign(*local, name, shown);
                text(shown)
            }
            Act::SetInvalid { .. } => return Err("22023"),
            Act::Reset(name) => {
                self.forget(name);
                Answer::Tag("RESET")
            }
            Act::ResetAll => {
                self.reset_all(false);
                Answer::Tag("RESET")
            }
            Act::SetRole { local, role } => {
                if *local && !matches!(self.block, Block::Implicit | Block::Open) {
                    self.out.push(Expect::Notice("25P01"));
                }
                self.assign(*local, "role", role.as_deref().unwrap_or("none"));
                Answer::Tag("SET")
            }
            Act::Discard(what) => Answer::Tag(self.discard(what)?),
            Act::Show(name) => text(self.setting(name).unwrap_or_default()),
            Act::CurrentSetting(name) => match self.setting(name) {
                Some(value) => text(value),
                None => {
                    let known = self.customs.contains(&name.to_ascii_lowercase());
                    let cell = if known { Cell::Unset } else { Cell::Null };
                    Answer::Rows(Rows::One(Some(vec![cell])))
                }
            },
            Act::Begin { read_only } => {
                self.begin(*read_only);
                Answer::Tag(if *read_only == Some(false) {
                    "START TRANSACTION"
                } else {
                    "BEGIN"
                })
            }
            Act::Commit { chain } => Answer::Tag(self.end_block(*chain, true)?),
            Act::Rollback { chain } => Answer::Tag(self.end_block(*chain, false)?),
            Act::Savepoint(name) => {
                if !self.is_open() {
                    return Err("25P01");
                }
                self.savepoints.push((name, self.now.clone()));
                Answer::Tag("SAVEPOINT")
            }
            Act::RollbackTo(name) => {
                self.roll_back_to(name)?;
                Answer::Tag("ROLLBACK")
            }
            Act::Release(name) => {
                self.release(name)?;
                Answer::Tag("RELEASE")
            }
            Act::Insert(number) => self.insert(*number)?,
            Act::InsertParam => self.insert(params[1].parse().map_err(|_| "22P02")?)?,
            Act::Count => {
                let value = self.committed + self.now.rows.len() as i64;
                let cell = Cell::AtLeast {
                    value,
                    more: self.doubtful,
                    binary,
                };
                Answer::Rows(Rows::One(Some(vec![cell])))
            }
            Act::Generate { rows, size, tag } => Answer::Rows(Rows::Generated {
                tag: tag.clone(),
                size: *size,
                next: 1,
                last: *rows,
            }),
            Act::Fail(code) => return Err(code),
            Act::CreateTemp(name) => {
                self.writable()?;
                if !self.now.temp.insert(name) {
                    return Err("42P07");
                }
                Answer::Tag("CREATE TABLE")
            }
            Act::DropTemp(name) => {
                self.writable()?;
                if !self.now.temp.remove(name) {
                    return Err("42P01");
                }
                Answer::Tag("DROP TABLE")
            }
            Act::Lock(key) => {
                *self.locks.entry(*key).or_insert(0) += 1;
                text("")
            }
            Act::Unlock(key) => self.unlock(*key, binary),
            Act::UnlockAll => {
                self.locks.clear();
                text("")
            }
            Act::Listen(_) => Answer::Tag("LISTEN"),
            Act::Unlisten(_) => Answer::Tag("UNLISTEN"),
            Act::Prepare { name, tag } => {
                self.keep(name, Some(Act::Tag(tag.clone())))?;
                Answer::Tag("PREPARE")
            }
            Act::Execute(name) => {
                let body = self.statements.get(name).ok_or("26000")?.clone();
                match body {
                    Some(body) if body.parameters() == 0 => self.perform(&body, &[], binary)?,
                    _ => return Err("42601"),
                }
            }
            Act::Deallocate(None) => {
                self.statements.retain(|name, _| name.is_empty());
                Answer::Tag("DEALLOCATE ALL")
            }
            Act::Deallocate(Some(name)) => {
                self.statements.remove(name).ok_or("26000")?;
                Answer::Tag("DEALLOCATE")
            }
            Act::CloseAll => {
                self.portals.clear();
                Answer::Tag("CLOSE CURSOR ALL")
            }
            Act::Vacuum => {
                self.not_in_block()?;
                Answer::Tag("VACUUM")
            }
            Act::WhoAmI => text(&self.whoami()),
            Act::Nonsense => return Err("42601"),
            Act::Sleep => Answer::Sleep,
            Act::CopyIn => {
                self.writable()?;
                Answer::CopyIn
            }
            Act::CopyOut { rows, tag } => Answer::Lines {
                tag: tag.clone(),
                rows: *rows,
            },
        })
    }

    pub(super) fn assign(&mut self, local: bool, name: &str, value: &str) {
        let key = name.to_ascii_lowercase();
        if key.contains('.') {
            self.customs.insert(key.clone());
        }
        if local {
            self.now.locals.insert(key, value.to_owned());
        } else {
            self.now.locals.remove(&key);
            self.now.settings.insert(key, value.to_owned());
        }
    }

    pub(super) fn forget(&mut self, name: &str) {
        let key = name.to_ascii_lowercase();
        self.now.locals.remove(&key);
        self.now.settings.remove(&key);
    }

    pub(super) fn reset_all(&mut self, identities: bool) {
        self.now
            .locals
            .retain(|key, _| key == "role" && !identities);
        self.now
            .settings
            .retain(|key, _| key == "role" && !identities);
    }

    pub(super) fn discard(&mut self, what: &'static str) -> Outcome<&'static str> {
        match what {
            "PLANS" => Ok("DISCARD PLANS"),
            "SEQUENCES" => Ok("DISCARD SEQUENCES"),
            "TEMP" => {
                self.now.temp.clear();
                Ok("DISCARD TEMP")
            }
            _ => {
                self.not_in_block()?;
                self.portals.clear();
                self.reset_all(true);
                self.statements.retain(|name, _| name.is_empty());
                self.now.temp.clear();
                self.locks.clear();
                Ok("DISCARD ALL")
            }
        }
    }

    pub(super) fn insert(&mut self, number: i64) -> Outcome<Answer> {
        self.writable()?;
        self.now.rows.push(number);
        Ok(Answer::Tag("INSERT 0 1"))
    }

    pub(super) fn unlock(&mut self, key: i64, binary: bool) -> Answer {
        let held = match self.locks.get_mut(&key) {
            None => {
                self.out.push(Expect::Notice("01000"));
                false
            }
            Some(1) => self.locks.remove(&key).is_some(),
            Some(count) => {
                *count -= 1;
                true
            }
        };
        let shown = match (held, binary) {
            (true, false) => "t",
            (false, false) => "f",
            (true, true) => "\u{1}",
            (false, true) => "\u{0}",
        };
        Answer::Rows(Rows::One(Some(vec![Cell::Text(shown.to_owned())])))
    }

    pub(super) fn writable(&self) -> Outcome<()> {
        if self.now.read_only {
            Err("25006")
        } else {
            Ok(())
        }
    }

    pub(super) fn not_in_block(&self) -> Outcome<()> {
        if matches!(self.block, Block::Implicit | Block::Open) {
            Err("25001")
        } else {
            Ok(())
        }
    }

    /// The same line the server builds for `whoami()`.
    pub(super) fn whoami(&self) -> String {
        let mut names: BTreeSet<&String> = self.baseline.keys().collect();
        names.extend(self.now.settings.keys());
        names.extend(self.now.locals.keys());
        let settings: Vec<String> = names
            .into_iter()
            .filter(|name| *name != "role")
            .filter_map(|name| {
                let value = self.setting(name)?;
                let default = self.defaults.get(name).map_or("", String::as_str);
                (value != default).then(|| format!("{name}={value}"))
            })
            .collect();
        let join =
            |words: &BTreeSet<&'static str>| words.iter().copied().collect::<Vec<_>>().join(",");
        let locks: Vec<String> = self.locks.keys().map(i64::to_string).collect();
        format!(
            "user={} role={} set=[{}] temp=[{}] locks=[{}]",
            self.user,
            self.setting("role").unwrap_or("none"),
            settings.join(";"),
            join(&self.now.temp),
            locks.join(","),
        )
    }
}
