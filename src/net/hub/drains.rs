//! Workers that somebody else wants to go.

use super::Hub;
use crate::failure::Failure;
use crate::protocol::ToClient;
use actix::Context;
use cluster::peer::PeerId;

/// A client that waits until a worker has left.
pub struct AskedDrain {
    client: PeerId,
    worker: PeerId,
    name: String,
}

impl Hub {
    /// A client wants the worker of this name to go. The answer comes when the worker's connection has ended.
    pub(super) fn drain_for(&mut self, client: PeerId, name: String, ctx: &mut Context<Self>) {
        let Some((worker, member)) = self.members.all().find(|(_, member)| member.name == name) else {
            let why = format!("no worker is called {name}: dolmen status lists those that are there");
            return self.tell_client(client, &ToClient::Drained(Err(Failure::of_request(why))));
        };
        self.drains.push(AskedDrain { client, worker: member.line.connection().peer().id, name });
        self.drain(worker, ctx);
    }

    /// The connection of a worker has ended: it has left if it was let go, else it is lost.
    pub(super) fn answer_drains(&mut self, worker: PeerId, has_left: bool) {
        let answered: Vec<AskedDrain> = self.drains.extract_if(.., |drain| drain.worker == worker).collect();
        for AskedDrain { client, name, .. } in answered {
            let lost = || Failure::of_run(format!("worker {name} was lost before it could leave"));
            let answer = if has_left { Ok(()) } else { Err(lost()) };
            self.tell_client(client, &ToClient::Drained(answer));
        }
    }
}
