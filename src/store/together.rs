//! Questions about one resource each, put to the store as one: whoever asks while an answer is on its way
//! is in the next question. So the way to the database's own thread and back serves many calls at once.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use tokio::{
    sync::{mpsc, oneshot},
    task,
};

use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{Place, Resource},
        chain::chain,
        history::{Known, Survey},
    },
    ports::{KeyHistory, Unavailable},
};

/// Most resources of one question; as many wait for the next, and others wait to wait.
const MOST: usize = 256;

/// Keeps the port over a store.
pub(super) struct Together {
    history: Arc<dyn KeyHistory>,
    ask: mpsc::Sender<Asked>,
}

/// A resource, and who wants to know of it.
struct Asked {
    resource: Resource,
    reply: oneshot::Sender<Result<Option<Known>, Unavailable>>,
}

// === impl Together ===

impl Together {
    /// Over this store, which closes with the last use of this value. Needs a runtime.
    pub(super) fn new(history: Arc<dyn KeyHistory>) -> Self {
        let (ask, asked) = mpsc::channel(MOST);
        tokio::spawn(answer(Arc::downgrade(&history), asked));
        Self { history, ask }
    }

    async fn one(&self, resource: &Resource) -> Result<Vec<Known>, Unavailable> {
        let (reply, answered) = oneshot::channel();
        let asked = Asked { resource: resource.clone(), reply };
        self.ask.send(asked).await.map_err(|_ended| ended())?;
        let known = answered.await.unwrap_or_else(|_ended| Err(ended()))?;
        Ok(known.into_iter().collect())
    }
}

async fn answer(history: Weak<dyn KeyHistory>, mut asked: mpsc::Receiver<Asked>) {
    let mut all = Vec::new();
    while let Some(first) = asked.recv().await {
        all.push(first);
        // Whoever can ask at this moment does so first.
        task::yield_now().await;
        while all.len() < MOST
            && let Ok(more) = asked.try_recv()
        {
            all.push(more);
        }
        let Some(history) = history.upgrade() else { return };
        let resources: HashSet<&Resource> = all.iter().map(|asked| &asked.resource).collect();
        let resources: Vec<Resource> = resources.into_iter().cloned().collect();
        let known = history.known(&resources).await;
        drop(history);
        tell(known, all.drain(..));
    }
}

fn tell(known: Result<Vec<Known>, Unavailable>, all: impl Iterator<Item = Asked>) {
    let known = known.map(|known| {
        known.into_iter().map(|known| (known.resource.clone(), known)).collect::<HashMap<_, _>>()
    });
    for Asked { resource, reply } in all {
        let own = match &known {
            Ok(known) => Ok(known.get(&resource).cloned()),
            Err(error) => {
                Err(Unavailable { dependency: error.dependency, source: Some(chain(error).into()) })
            }
        };
        // Whoever went away does not need to know.
        drop(reply.send(own));
    }
}

fn ended() -> Unavailable {
    Unavailable { dependency: "store", source: None }
}

#[async_trait]
impl KeyHistory for Together {
    async fn known(&self, resources: &[Resource]) -> Result<Vec<Known>, Unavailable> {
        match resources {
            [resource] => self.one(resource).await,
            many => self.history.known(many).await,
        }
    }

    async fn touched(
        &self,
        key: &KmsKeyArn,
        after: Option<&Resource>,
        limit: u32,
    ) -> Result<Vec<Known>, Unavailable> {
        self.history.touched(key, after, limit).await
    }

    async fn surveys(&self, places: &[Place]) -> Result<Vec<Survey>, Unavailable> {
        self.history.surveys(places).await
    }
}

impl fmt::Debug for Together {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Together")
    }
}

#[cfg(test)]
mod tests;
