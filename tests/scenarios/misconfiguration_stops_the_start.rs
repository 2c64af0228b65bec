//! A setting that cannot be meant stops the start with one sentence that says what to change, and exit code 78.

use tests::program::run;

async fn refusal(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments).await;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{program} {arguments:?}: {stderr}");
    // What was logged before stands above the sentence.
    let (log, said): (Vec<&str>, Vec<&str>) = stderr.lines().partition(|line| line.starts_with("20"));
    assert_eq!(said.len(), 1, "one sentence: {stderr}");
    assert!(log.iter().all(|line| !line.contains("ERROR")), "{stderr}");
    said[0].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_file_with_its_line_and_the_nearest_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("postrider.toml");
    std::fs::write(&file, "[mta.retry]\nexpire = \"5d\"\ndelais = [\"1m\"]\n").unwrap();
    let path = file.to_str().unwrap();
    let said = refusal("mta", &["--config", path]).await;
    assert!(
        said.contains("postrider.toml:3") && said.contains("delais") && said.contains("delays"),
        "{said}"
    );
    std::fs::write(&file, "[mta\n").unwrap();
    assert!(refusal("mta", &["--config", path]).await.contains("postrider.toml:1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_command_line() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    for (setting, word) in [
        ("mta.retry.expier=\"1d\"", "expire"),
        ("mta.retry.delays=[]", "mta.retry.delays"),
        ("mta.retry.expire=5", "mta.retry.expire"),
        ("msa.listen.submission=nowhere", "msa.listen.submission"),
        ("queue.url=mysql://db", "queue.url"),
        ("tls.certificate_file=/nonexistent.pem", "nonexistent.pem"),
        ("mta.routes.\"b.test\"=\"a b\"", "mta.routes"),
        ("mtaa.listen.mx=\"127.0.0.1:0\"", "mta"),
    ] {
        let said = refusal("postrider", &["--data", data, "up", "--set", setting]).await;
        assert!(said.contains(word), "{setting}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_an_address_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let data = tempfile::tempdir().unwrap();
    let setting = format!("mta.listen.mx={}", taken.local_addr().unwrap());
    let mut arguments = vec!["--data", data.path().to_str().unwrap(), "up", "--set", &setting];
    for key in [
        "msa.listen.submission",
        "msa.listen.submission_alt",
        "msa.listen.http",
        "msa.listen.submissions",
        "service.listen.health",
    ] {
        arguments.extend(["--set", Box::leak(format!("{key}=127.0.0.1:0").into_boxed_str())]);
    }
    let said = refusal("postrider", &arguments).await;
    assert!(said.contains("mta.listen.mx"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_an_agent_that_lacks_what_it_needs() {
    let listen = "msa.listen.submission=127.0.0.1:0";
    assert!(refusal("msa", &["--set", listen]).await.contains("msa.mta"));
    let others =
        ["--set", "msa.mta=http://127.0.0.1:1", "--set", "msa.mda=http://127.0.0.1:1", "--set", listen];
    assert!(refusal("msa", &others).await.contains("tls.certificate_file"));
    assert!(refusal("mta", &["--set", "mta.listen.mx=127.0.0.1:0"]).await.contains("mta.mda"));
}
