//! Several runs at once: of one project, and of two projects with one warehouse.

use std::time::Instant;

use super::{fill, project, runs, visible, whole};
use crate::harness::{
    readers::{self, Reader},
    workspace::Workspace,
};

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_runs_at_once_one_publishes_and_the_others_say_who_holds_the_lock() {
    let workspace = project();
    fill(&workspace, 1).await;
    // A source that takes its time, so that all have come before the first has ended.
    let text = workspace.read("longshore.yml");
    let slow = text.replace("sqlite:source.db", "${command:sleep 6; echo sqlite:source.db}");
    assert_ne!(slow, text);
    workspace.write("longshore.yml", slow);
    let all: Vec<_> = (0..20).map(|_| workspace.spawn(&["run", "load"])).collect();
    let ended: Vec<_> = all.into_iter().map(|one| (one.id(), one.finish())).collect();
    let (won, lost): (Vec<_>, Vec<_>) = ended.iter().partition(|(_, it)| it.code == Some(0));
    let [(process, winner)] = won[..] else { panic!("{ended:#?}") };
    let known = runs(&workspace);
    assert_eq!(known.len(), 1, "who did not start is no run: {winner}");
    let run = known[0]["run"].as_str().unwrap();
    for (_, loser) in lost {
        let holder = format!("run {run} of `load`, process {process} is at work in this project");
        assert_eq!(loser.code, Some(1), "{loser}");
        assert!(loser.stderr.contains(&holder), "{holder}: {loser}");
        assert!(loser.stderr.contains("nothing was extracted"), "{loser}");
    }
    assert_eq!(workspace.files("warehouse/_longshore/generations").len(), 1);
    assert_eq!(visible(&workspace), whole(1));
}

/// Moments of the freeze, in parts of a run's time.
const MOMENTS: u32 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_run_that_wakes_after_another_published_takes_nothing_back() {
    let (mine, theirs) = (project(), project());
    let shared = theirs
        .read("longshore.yml")
        .replace("./warehouse", mine.path("warehouse").to_str().unwrap());
    theirs.write("longshore.yml", shared);
    fill(&mine, 1).await;
    let start = Instant::now();
    mine.run(&["run", "load"]).succeeded();
    let usual = start.elapsed();
    for moment in 1..=MOMENTS {
        let (old, new) = (u64::from(2 * moment), u64::from(2 * moment + 1));
        fill(&mine, old).await;
        fill(&theirs, new).await;
        let mut frozen = mine.spawn(&["run", "load"]);
        tokio::time::sleep(usual * moment / MOMENTS).await;
        if frozen.has_ended() {
            continue;
        }
        frozen.signal("STOP");
        theirs.run(&["run", "load"]).succeeded();
        assert_eq!(visible(&theirs), whole(new), "moment {moment}");
        frozen.signal("CONT");
        let woken = frozen.finish();
        // It had read nothing yet, and published after the other; or it had published before; or
        // it publishes nothing.
        let seen = visible(&mine);
        match woken.code {
            Some(0) => assert!(seen == whole(old) || seen == whole(new), "{seen}: {woken}"),
            _ => {
                assert_eq!((woken.code, &seen), (Some(1), &whole(new)), "{woken}");
                assert!(woken.stderr.contains("hint: run again"), "{woken}");
            }
        }
        let round = seen.lines().nth(1).unwrap().split(',').next().unwrap().to_owned();
        for table in ["shop/a", "shop/b", "mart/both"] {
            let folder = mine.path("warehouse").join(table);
            let print = readers::fingerprint(Reader::DeltaRs, folder.to_str().unwrap(), &[]);
            let rounds = &print.columns["round"];
            assert_eq!(rounds.min.as_deref(), Some(&*round), "{table}: {woken}");
            assert_eq!(rounds.max.as_deref(), Some(&*round), "{table}: {woken}");
        }
    }
    fill(&mine, 99).await;
    mine.run(&["run", "load"]).succeeded();
    assert_eq!(visible(&theirs), whole(99));
}

/// The answer to a commit is lost on its way: our own success is known by its id.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_recognised() {
    use crate::harness::{
        proxy::{Fault, Proxy},
        s3::Bucket,
    };
    for (bucket, place) in [
        ("lost-intent", "_longshore/intents/"),
        ("lost-table", "shop/a/_delta_log/"),
        ("lost-verdict", "_longshore/verdicts/"),
        ("lost-generation", "_longshore/generations/"),
    ] {
        let mut bucket = Bucket::new(bucket);
        let proxy = Proxy::start(bucket.endpoint.rsplit(':').next().unwrap().parse().unwrap());
        bucket.endpoint = proxy.lead(&bucket.endpoint);
        let workspace = project();
        fill(&workspace, 1).await;
        on(&workspace, &bucket);
        let request = format!("PUT /{}/lake/{place}", bucket.name).into_bytes();
        proxy.inject(Fault::SwallowAnswer { request }, 1);
        let outcome = workspace.run(&["run", "load"]).succeeded();
        assert_eq!(proxy.pending(), 0, "the answer was lost: {outcome}");
        assert!(outcome.stderr.contains("generation 1"), "{outcome}");
        assert_eq!(visible(&workspace), whole(1), "{place}");
        workspace.run(&["run", "load"]).succeeded();
        assert_eq!(visible(&workspace), whole(1), "{place}");
    }
}

fn on(workspace: &Workspace, bucket: &crate::harness::s3::Bucket) {
    let options: Vec<_> =
        bucket.options().into_iter().map(|(name, value)| format!("{name}: \"{value}\"")).collect();
    let place = format!("url: {}/lake, options: {{{}}}", bucket.url(), options.join(", "));
    let text = workspace.read("longshore.yml").replace("url: ./warehouse", &place);
    workspace.write("longshore.yml", text);
}
