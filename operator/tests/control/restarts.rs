//! What replaces pods, and what does not.

use super::fixtures::{facts, pipeline};
use serde_json::{Value, json};
use turbo_crds::TurboPipeline;
use turbo_operator::build::{Child, FILE, Facts, Kind, Role, TEMPLATE, build};

fn deployments(pipeline: &TurboPipeline, facts: &Facts) -> Vec<Child> {
    let children = build(pipeline, facts).unwrap();
    children.list.into_iter().filter(|child| child.kind == Kind::Deployment).collect()
}

/// The facts once these are applied.
fn running(deployments: &[Child]) -> Facts {
    let annotations = |child: &Child| serde_json::from_value(child.object["metadata"]["annotations"].clone()).unwrap();
    let running = Role::ALL.into_iter().zip(deployments).map(|(role, child)| (role, annotations(child))).collect();
    Facts { running, ..facts() }
}

fn templates(deployments: &[Child]) -> Vec<Value> {
    deployments.iter().map(|child| child.object["spec"]["template"].clone()).collect()
}

/// Which roles are restarted by a change of the spec.
fn restarted(change: impl Fn(&mut TurboPipeline)) -> Vec<bool> {
    let mut pipeline = pipeline("full");
    let before = deployments(&pipeline, &facts());
    change(&mut pipeline);
    pipeline.metadata.generation = Some(pipeline.metadata.generation.unwrap_or_default() + 1);
    let after = deployments(&pipeline, &running(&before));
    templates(&before).iter().zip(templates(&after)).map(|(before, after)| *before != after).collect()
}

#[test]
fn pods_are_replaced_when_what_they_are_made_from_has_changed() {
    let both = [true, true];
    assert_eq!(restarted(|pipeline| pipeline.spec.image = Some("other:2".to_owned())), both);
    assert_eq!(restarted(|pipeline| pipeline.spec.hydration = None), both);
    assert_eq!(restarted(|pipeline| pipeline.spec.mesh = None), both);
    assert_eq!(restarted(|pipeline| pipeline.spec.workers.pods = None), [false, true]);
    assert_eq!(restarted(|pipeline| pipeline.spec.ingest.as_mut().unwrap().pods = None), [true, false]);
    assert_eq!(restarted(|pipeline| pipeline.spec.workers.drain = turbo_crds::Duration::from_secs(7)), both);
}

#[test]
fn nothing_else_replaces_them() {
    let none = [false, false];
    assert_eq!(restarted(|_| {}), none);
    assert_eq!(restarted(|pipeline| pipeline.spec.workers.replicas = 7), none);
    assert_eq!(restarted(|pipeline| pipeline.spec.ingest.as_mut().unwrap().replicas = 1), none);
    assert_eq!(restarted(|pipeline| pipeline.spec.paused = true), none);
    assert_eq!(restarted(|pipeline| pipeline.spec.monitoring = None), none);
    assert_eq!(restarted(|pipeline| pipeline.spec.network = None), none);
}

#[test]
fn an_operator_that_would_write_another_template_keeps_the_one_that_is_there() {
    let pipeline = pipeline("full");
    let mut facts = running(&deployments(&pipeline, &facts()));
    for annotations in facts.running.values_mut() {
        let mut template: Value = serde_json::from_str(&annotations[TEMPLATE]).unwrap();
        template["spec"]["containers"][0]["env"] = json!([{"name": "OF_ANOTHER_VERSION", "value": "1"}]);
        annotations.insert(TEMPLATE.to_owned(), template.to_string());
    }
    for template in templates(&deployments(&pipeline, &facts)) {
        assert_eq!(template["spec"]["containers"][0]["env"][0]["name"], "OF_ANOTHER_VERSION");
    }
    // What it has of its own, it makes when there is a reason.
    let mut changed = pipeline.clone();
    changed.spec.image = Some("other:2".to_owned());
    assert_eq!(templates(&deployments(&changed, &facts)), templates(&deployments(&changed, &self::facts())));
}

#[test]
fn the_number_of_the_file_grows_with_its_changes_and_with_nothing_else() {
    let number = |deployments: &[Child]| {
        let mark = deployments[1].object["metadata"]["annotations"][FILE].as_str().unwrap();
        mark.rsplit_once('-').unwrap().1.parse::<i64>().unwrap()
    };
    let mut pipeline = pipeline("full");
    let edit = |pipeline: &mut TurboPipeline| {
        pipeline.metadata.generation = Some(pipeline.metadata.generation.unwrap_or_default() + 1);
    };
    let first = deployments(&pipeline, &facts());
    edit(&mut pipeline);
    pipeline.spec.workers.replicas = 3;
    let scaled = deployments(&pipeline, &running(&first));
    assert_eq!(number(&first), number(&scaled));
    edit(&mut pipeline);
    let hydration = pipeline.spec.hydration.take();
    let edited = deployments(&pipeline, &running(&scaled));
    assert!(number(&edited) > number(&first));
    // Back to what it was: a file of the same spec, and a newer one.
    edit(&mut pipeline);
    pipeline.spec.hydration = hydration;
    let back = deployments(&pipeline, &running(&edited));
    assert!(number(&back) > number(&edited));
    // A pipeline of the same name that is made later is newer than all of them.
    let mut anew = pipeline.clone();
    anew.metadata.generation = Some(1);
    let later = pipeline.metadata.creation_timestamp.clone().unwrap().0 + std::time::Duration::from_secs(1);
    anew.metadata.creation_timestamp.as_mut().unwrap().0 = later;
    assert!(number(&deployments(&anew, &facts())) > number(&back));
}
