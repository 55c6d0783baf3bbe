using Flint.App.Tests.Api;
using Flint.App.Upstreams;

namespace Flint.App.Tests.Upstreams;

/// <summary>The choice among a model's targets, and whether they are up.</summary>
public sealed class UpstreamModelTests
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(15);

    private readonly FakeTime _time = new();

    [Fact]
    public async Task Turns_are_by_weight_and_evenly_mixed()
    {
        await using UpstreamModels models = FakeUpstream.Serve(_time, null, Target("a", 5), Target("b", 1), Target("c", 2));
        UpstreamModel model = Assert.Single(models.All);
        string turns = string.Concat(Enumerable.Range(0, 16).Select(_ => Enter(model)));
        Assert.Equal((10, 2, 4), (turns.Count(c => c == 'a'), turns.Count(c => c == 'b'), turns.Count(c => c == 'c')));
        Assert.Equal(turns[..8], turns[8..]);
        Assert.DoesNotContain("aaa", turns[..8], StringComparison.Ordinal);
        Assert.Equal('c', Enter(model, model.Members[0], model.Members[1])); // the others were tried
    }

    [Fact]
    public async Task A_target_has_no_more_requests_than_it_may()
    {
        await using UpstreamModels models = FakeUpstream.Serve(_time, null, Target("a", 1) with { Concurrency = 2 }, Target("b", 1) with { Concurrency = 1 });
        UpstreamModel model = Assert.Single(models.All);
        List<UpstreamLease> leases = [.. Enumerable.Range(0, 3).Select(_ => model.Enter([])!)];
        Assert.Equal(["a", "a", "b"], leases.Select(lease => lease.Member.Options.Name).Order());
        Assert.Null(model.Enter([]));
        Assert.Equal((FaultSide.Limit, UpstreamFault.BusyCode), (model.Refusal().Side, model.Refusal().Code));
        leases.Single(lease => lease.Member.Options.Name == "b").Dispose();
        Assert.Equal('b', Enter(model));
    }

    [Fact]
    public async Task Failures_open_the_circuit_of_one_target_alone()
    {
        await using UpstreamModels models = FakeUpstream.Serve(_time, plain => plain with { CircuitFailures = 2 }, Target("a", 1), Target("b", 1));
        UpstreamModel model = Assert.Single(models.All);
        for (int i = 0; i < 2; i++)
        {
            using UpstreamLease failing = model.Enter([model.Members[1]])!;
            failing.Fail(isBusy: false);
        }

        Assert.Equal("bbb", string.Concat(Enumerable.Range(0, 3).Select(_ => Enter(model))));
        Assert.Null(model.Enter([model.Members[1]]));
        _time.Advance(TimeSpan.FromSeconds(30));
        using (UpstreamLease trial = model.Enter([model.Members[1]])!)
        {
            Assert.Null(model.Enter([model.Members[1]])); // one tries
            trial.Begin();
            Assert.False(model.Members[0].Target.Circuit.IsOpen);
        }

        Assert.Equal((2, 3), (model.Members[0].Target.Failures, model.Members[0].Target.Requests));
    }

    [Fact]
    public async Task Checks_find_out_who_is_up()
    {
        await using FakeUpstream upstream = await FakeUpstream.StartAsync();
        var lines = new List<string>();
        await using var models = new UpstreamModels(_time, lines.Add);
        models.Replace(models.Prepare([new UpstreamOptions { Name = "big", HealthPath = "/health", Targets = [upstream.Target()] }]));
        UpstreamModel model = Assert.Single(models.All);
        upstream.Health = 500;
        models.Start();
        await WaitAsync();
        Assert.False(model.Members[0].Target.IsUp);
        Assert.Null(model.Enter([]));
        Assert.Equal(UpstreamFault.UnavailableCode, model.Refusal().Code);
        upstream.Health = 200;
        _time.Advance(Interval - TimeSpan.FromTicks(1));
        Assert.Equal(1, upstream.Checks);
        _time.Advance(TimeSpan.FromTicks(1));
        await WaitAsync();
        Assert.True(model.Members[0].Target.IsUp);
        Assert.Equal((2, 'o'), (upstream.Checks, Enter(model)));
        Assert.Equal(["upstream big/one is down: status 500", "upstream big/one is up"], lines);

        // Until a check is over, its deadline waits; then the next check does.
        Task WaitAsync() => TestServer.UntilAsync(() => lines.Count == upstream.Checks && _time.UntilNext == Interval);
    }

    [Fact]
    public async Task What_is_known_of_a_target_outlives_a_new_configuration()
    {
        await using UpstreamModels models = FakeUpstream.Serve(_time, plain => plain with { CircuitFailures = 1 }, Target("a", 1), Target("b", 1));
        using (UpstreamLease lease = models.All[0].Enter([models.All[0].Members[1]])!)
            lease.Fail(isBusy: false);
        UpstreamOptions changed = models.All[0].Options with { MaxOutput = 7, Targets = [Target("a", 9), Target("b", 1) with { BaseUrl = new Uri("http://127.0.0.1:2/v1/") }] };
        UpstreamTarget a = models.All[0].Members[0].Target, b = models.All[0].Members[1].Target;
        models.Replace(models.Prepare([changed]));
        Assert.Same(a, models.All[0].Members[0].Target);
        Assert.True(a.Circuit.IsOpen);
        Assert.NotSame(b, models.All[0].Members[1].Target);
        models.Reserve(["own"]);
        Assert.Equal("model_name_taken", Assert.Throws<FlintException>(() => models.Prepare([changed with { Name = "own" }])).Code);
        Assert.Equal("model_name_taken", Assert.Throws<FlintException>(() => models.Reserve(["big"])).Code);
    }

    [Fact]
    public void A_key_is_read_and_never_told()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("key"), "  sk-secret\n");
        File.WriteAllText(folder.File("two"), "sk-one\nsk-two\n");
        TargetOptions target = Target("a", 1) with { KeyFile = folder.File("key") };
        UpstreamKey key = UpstreamKey.Read(target)!;
        Assert.Equal(("[key]", "it is [key]."), (key.ToString(), key.Strike("it is sk-secret.")));
        using var request = new HttpRequestMessage();
        key.Sign(request);
        Assert.Equal("Bearer sk-secret", request.Headers.Authorization!.ToString());
        Assert.Null(UpstreamKey.Read(Target("a", 1)));
        foreach (TargetOptions wrong in (TargetOptions[])[target with { KeyFile = folder.File("none") }, target with { KeyFile = folder.File("two") }, target with { KeyFile = null, KeyVariable = "FLINT_TEST_NO_SUCH_KEY" }])
        {
            FlintException fault = Assert.Throws<FlintException>(() => UpstreamKey.Read(wrong));
            Assert.Equal((FaultSide.Caller, "invalid_upstream_key"), (fault.Side, fault.Code));
            Assert.DoesNotContain("sk-", fault.Message, StringComparison.Ordinal);
        }
    }

    private static TargetOptions Target(string name, int weight) => new() { Name = name, BaseUrl = new Uri("http://127.0.0.1:1/v1/"), Model = "m", Weight = weight };

    private static char Enter(UpstreamModel model, params UpstreamMember[] tried)
    {
        using UpstreamLease? lease = model.Enter(tried);
        return lease?.Member.Options.Name[0] ?? '?';
    }
}
