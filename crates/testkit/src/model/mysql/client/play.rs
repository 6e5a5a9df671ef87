//! How a client goes through its program: what it sends, how answers are matched to it, what follows from faults.

use super::answer::{Answer, Found, Kind};
use super::check::check;
use super::expected::Shape;
use super::script::{Act, Message, Param, Step};
use super::{FATAL, Handle, Phase, ScriptedClient};
use crate::model::client::Order;
use forebay_mysql::wire::{command, write};

impl ScriptedClient {
    /// Goes through the program until it has to wait.
    pub(super) fn advance(&mut self) {
        while self.phase == Phase::Playing {
            let steps = &self.program.episodes[self.episode].steps;
            let Some(step) = steps.get(self.step).cloned() else {
                return self.say_goodbye();
            };
            match step {
                Step::Send(Message::ChangeUser { database }) => {
                    self.flush();
                    self.settle();
                    if self.answer.is_some() {
                        return;
                    }
                    self.change_user(database);
                }
                Step::Send(message) => self.send(message),
                Step::Await => {
                    self.flush();
                    self.settle();
                    if self.answer.is_some() {
                        return;
                    }
                }
                Step::Think(milliseconds) => {
                    self.flush();
                    self.phase = Phase::Thinking;
                    self.orders.push_back(Order::Think(milliseconds));
                }
                Step::Cancel => self.cancel(),
                Step::Quit => return self.say_goodbye(),
                Step::Vanish { message, permille } => return self.vanish(message, permille),
            }
            self.step += 1;
        }
    }

    fn send(&mut self, message: Message) {
        let message = self.resolved(message);
        message.encode(&self.me, &self.numbers, &mut self.outbox);
        match &message {
            Message::StmtClose { name } | Message::Prepare { name, .. } => {
                self.numbers.remove(name);
                self.handles.remove(name);
            }
            Message::LongData { name, .. } => {
                if let Some(handle) = self.handles.get_mut(name) {
                    handle.ahead = handle.parameters > 0;
                }
            }
            Message::StmtReset { name } => {
                if let Some(handle) = self.handles.get_mut(name) {
                    handle.ahead = false;
                }
            }
            Message::ResetConnection => self.forget_statements(),
            _ => {}
        }
        self.sent.push_back(message);
    }

    /// A command as it fits what the client knows of its statement.
    fn resolved(&mut self, message: Message) -> Message {
        let Message::Execute {
            name,
            param,
            cursor,
            ..
        } = message
        else {
            return message;
        };
        let Some(handle) = self.handles.get_mut(name).filter(|it| it.parameters > 0) else {
            return Message::Execute {
                name,
                param: None,
                types: false,
                cursor,
            };
        };
        let param = match std::mem::take(&mut handle.ahead) {
            true => Param::Ahead,
            false => match param.unwrap_or(Param::Null) {
                Param::Tiny(_) if handle.inserts => Param::Null,
                param => param,
            },
        };
        let kind = Some(param.kind());
        // Types that have been said need not be said again.
        let types = handle.kind != kind || self.step.is_multiple_of(3);
        handle.kind = kind;
        Message::Execute {
            name,
            param: Some(param),
            types,
            cursor,
        }
    }

    fn flush(&mut self) {
        if !self.outbox.is_empty() {
            let bytes = std::mem::take(&mut self.outbox);
            self.orders.push_back(Order::Send(bytes));
        }
    }

    fn change_user(&mut self, database: Option<&'static str>) {
        let mut out = Vec::new();
        self.login.change_user(database, &mut out);
        self.orders.push_back(Order::Send(out));
        self.forget_statements();
        self.answering = Some(Message::ChangeUser { database });
        self.phase = Phase::Changing;
    }

    fn cancel(&mut self) {
        self.flush();
        let process = self.login.process.to_le_bytes();
        self.orders.push_back(Order::Cancel(process.to_vec()));
        self.cancels += 1;
    }

    fn say_goodbye(&mut self) {
        write::command(&mut self.outbox, command::QUIT, b"");
        self.flush();
        self.orders.push_back(Order::Close);
        self.account();
        self.end_episode();
    }

    fn vanish(&mut self, message: Message, permille: u32) {
        let mut bytes = Vec::new();
        message.encode(&self.me, &self.numbers, &mut bytes);
        let kept = bytes.len() * permille.min(999) as usize / 1000;
        self.outbox.extend_from_slice(&bytes[..kept]);
        self.flush();
        self.orders.push_back(Order::Close);
        self.account();
        self.end_episode();
    }

    /// Takes the next command whose answer is due, unless one is awaited.
    fn settle(&mut self) {
        while self.answer.is_none() {
            let Some(message) = self.sent.pop_front() else {
                return;
            };
            self.prediction = self.picture.on_message(&message);
            if message.is_answered() {
                let (kind, columns) = match &message {
                    Message::Execute { .. } => (Kind::Binary, Vec::new()),
                    Message::Prepare { .. } => (Kind::Prepare, Vec::new()),
                    Message::Statistics => (Kind::Bare, Vec::new()),
                    Message::Fetch { name, .. } => (
                        Kind::Fetch,
                        self.cursors.get(name).cloned().unwrap_or_default(),
                    ),
                    _ => (Kind::Text, Vec::new()),
                };
                self.answer = Some(Answer::new(kind, self.login.capabilities, columns));
            }
            self.answering = Some(message);
        }
    }

    // --- Answers ---

    pub(super) fn on_packet(&mut self, payload: &[u8], sequence: u8) -> Result<(), String> {
        self.settle();
        let Some(answer) = &mut self.answer else {
            return self.on_unasked(payload);
        };
        if !answer.on_packet(payload, sequence)? {
            return Ok(());
        }
        let answer = self.answer.take().expect("it was there");
        self.compare(&answer)?;
        self.settle();
        Ok(())
    }

    /// A packet that answers nothing.
    fn on_unasked(&mut self, payload: &[u8]) -> Result<(), String> {
        let mut answer = Answer::new(Kind::Bare, self.login.capabilities, Vec::new());
        let _ended = answer.on_packet(payload, 1);
        match answer.found.first() {
            Some(Found::Error { code, .. }) if self.tolerates(*code) => {
                self.phase = Phase::Dying;
                Ok(())
            }
            found => Err(format!("nothing was expected, got {found:?}")),
        }
    }

    fn compare(&mut self, answer: &Answer) -> Result<(), String> {
        let expects = self.prediction.results.clone();
        for (at, found) in answer.found.iter().enumerate() {
            let Some(expect) = expects.get(at) else {
                return Err(format!("one result more than expected: {found:?}"));
            };
            let result = check(expect, found, self.picture.last_insert_id());
            match (result, found) {
                (Err(problem), Found::Error { code, message, .. }) => {
                    return self.on_fault(at, (*code, message), problem);
                }
                (result, _) => result?,
            }
            self.replies += 1;
            match (found, &expect.shape) {
                (Found::Ok { insert_id, .. }, Shape::Ok { numbered: true, .. }) => {
                    self.picture.learn(*insert_id as i64);
                }
                (Found::Prepared { id, parameters, .. }, Shape::Prepared { name, .. }) => {
                    self.numbers.insert(name, *id);
                    let handle = Handle {
                        parameters: *parameters,
                        kind: None,
                        ahead: false,
                        inserts: matches!(
                            &self.answering,
                            Some(Message::Prepare {
                                act: Act::InsertParam,
                                ..
                            })
                        ),
                    };
                    self.handles.insert(name, handle);
                }
                _ => {}
            }
        }
        if answer.found.len() < expects.len() {
            let missing = &expects[answer.found.len()].shape;
            return Err(format!("a result is missing: {missing:?}"));
        }
        if let Some(Message::Execute {
            name, cursor: true, ..
        }) = &self.answering
        {
            self.cursors.insert(name, answer.columns().to_vec());
        }
        self.may_end = false;
        let confirms = std::mem::take(&mut self.prediction.confirms);
        self.ledger.acknowledge(confirms);
        Ok(())
    }

    /// An error that the program itself did not cause: a KILL, or a fault that the test injects.
    fn on_fault(
        &mut self,
        at: usize,
        (code, message): (u16, &str),
        problem: String,
    ) -> Result<(), String> {
        let expect = &self.prediction.results[at];
        let before = self.prediction.before.get(at).cloned();
        let picture = before.ok_or_else(|| problem.clone())?;
        // What waits for a backend is ended by the proxy.
        if code == 1317 && self.cancels > 0 && (expect.may_end || at == 0) {
            self.cancels -= 1;
            let has_run = expect.may_end;
            self.picture = picture;
            if has_run {
                self.picture.on_ended();
            }
            self.give_up_types();
            self.prediction = Default::default();
            return Ok(());
        }
        let is_gone = message.starts_with("What the last statement left behind");
        if code == 1105 && is_gone && expect.may_be_gone && at == 0 {
            self.picture = picture;
            self.picture.look_back();
            self.prediction = Default::default();
            return Ok(());
        }
        // What was sent ahead may have come to nothing.
        let is_ahead = matches!(
            self.answering,
            Some(Message::Execute {
                param: Some(Param::Ahead),
                ..
            })
        );
        let may_fail = !self.config.tolerated.is_empty() || self.cancels > 0;
        let is_ahead = is_ahead && code == 1210 && may_fail;
        if !self.tolerates(code) && !is_ahead {
            return Err(format!("{problem}: {message}"));
        }
        self.may_end = true;
        if FATAL.contains(&code) || at > 0 {
            self.phase = Phase::Dying;
            return Ok(());
        }
        self.picture = picture;
        self.prediction = Default::default();
        if is_ahead && let Some(Message::Execute { name, .. }) = &self.answering {
            self.picture.forget_ahead(name);
        }
        self.give_up_types();
        Ok(())
    }

    /// The command has come to nothing: what it would have given its statement is not there.
    fn give_up_types(&mut self) {
        match self.answering.clone() {
            Some(Message::Prepare { name, .. }) => self.picture.forget(name),
            Some(Message::Execute { name, .. }) => {
                if let Some(handle) = self.handles.get_mut(name) {
                    handle.kind = None;
                }
                if !self.sent.is_empty() {
                    // Types that are not said again are not known there.
                    self.orders.push_back(Order::Close);
                    self.lose();
                }
            }
            _ => {}
        }
    }
}
