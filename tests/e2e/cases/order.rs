//! Who goes before whom: owners take turns.

use super::cases;
use crate::support::daemon::{has, queued};
use crate::support::ending::Ending;
use crate::support::latch::Latch;
use crate::support::project::Project;
use crate::support::runner::Run;
use crate::support::server::Server;
use crate::support::setup::Setup;
use crate::support::story::Story;

cases![one_change_of_another_owner_lands_among_the_first_five_of_a_campaign];

fn one_change_of_another_owner_lands_among_the_first_five_of_a_campaign(server: &Server) -> Run {
    let story = Story::begin(server, "campaign");
    let project = story.repository("core");
    let others = story.folder.join("bob");
    std::fs::create_dir(&others).expect("a folder can be made");
    let of_bob = Project::open(&others, &project.name, story.bob());
    let latch = Latch::new();
    let daemon = Setup::latched(&story, &latch).start();
    let campaign = project.many(60, |at| vec![(format!("f{at}"), "good".into())]);
    let single = of_bob.change("The only one of another owner", &[("single", Some("good"))]);
    campaign.iter().for_each(|change| story.alice().approve(change));
    daemon.wait_queued(campaign[59].number);
    // The head is being built, as are those behind it.
    latch.wait_seen(&["f0"]);
    story.alice().approve(&single);
    daemon.wait_queued(single.number);
    let view = daemon.wait_view("the overtaken change to say so", |view| {
        let mut overtaken = queued(view).filter(|item| has(item, campaign[30].number));
        overtaken.any(|item| item["place"].as_str().is_some_and(|words| words.contains("by fair share")))
    });
    let place = queued(&view).position(|item| has(item, single.number));
    assert!(place.is_some_and(|place| place < 5), "it stands at {place:?}");
    latch.open();
    let order = campaign[..3].iter().chain([&single]).chain(&campaign[3..]);
    story.end(daemon, &[Ending::of(&project).landed(order)]);
    Ok(())
}
