//! Questions about a few resources each, put to the store as one: whoever asks while an answer is on its way
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

/// Most who are answered by one question; as many wait for the next, and others wait to wait.
const MOST: usize = 256;
/// Most resources of one who asks together with others: a change looks at its own, and at the account's
/// query results. A page of a list asks by itself.
const FEW: usize = 2;

/// Keeps the port over a store.
pub(super) struct Together {
    history: Arc<dyn KeyHistory>,
    ask: mpsc::Sender<Asked>,
}

/// Resources, and who wants to know of them.
struct Asked {
    resources: Vec<Resource>,
    reply: oneshot::Sender<Result<Vec<Known>, Unavailable>>,
}

// === impl Together ===

impl Together {
    /// Over this store, which closes with the last use of this value. Needs a runtime.
    pub(super) fn new(history: Arc<dyn KeyHistory>) -> Self {
        let (ask, asked) = mpsc::channel(MOST);
        tokio::spawn(answer(Arc::downgrade(&history), asked));
        Self { history, ask }
    }

    async fn few(&self, resources: &[Resource]) -> Result<Vec<Known>, Unavailable> {
        let (reply, answered) = oneshot::channel();
        let asked = Asked { resources: resources.to_vec(), reply };
        self.ask.send(asked).await.map_err(|_ended| ended())?;
        answered.await.unwrap_or_else(|_ended| Err(ended()))
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
        let resources: HashSet<&Resource> = all.iter().flat_map(|asked| &asked.resources).collect();
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
    for Asked { resources, reply } in all {
        let own = match &known {
            Ok(known) => Ok(resources.iter().filter_map(|resource| known.get(resource)).cloned().collect()),
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
        if (1..=FEW).contains(&resources.len()) {
            self.few(resources).await
        } else {
            self.history.known(resources).await
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
