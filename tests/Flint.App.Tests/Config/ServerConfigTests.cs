using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Config;
using Flint.App.Policy;
using Flint.App.Tests.Cli;
using Flint.App.Upstreams;

namespace Flint.App.Tests.Config;

/// <summary><c>flint.yaml</c>: read strictly, checked whole, read again while a server runs.</summary>
public sealed class ServerConfigTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_file_that_has_everything_is_read()
    {
        File.Copy(Path.Combine(TestData.Root, "docs", "flint.yaml"), _folder.File("flint.yaml"));
        File.WriteAllText(_folder.File("words.txt"), "# birds\nkestrel\n\n snow owl \n");
        Assert.Empty(ServerConfig.Check(_folder.File("flint.yaml")));
        ServerConfig config = ServerConfig.Load(_folder.File("flint.yaml"));
        Assert.Equal((IPAddress.Loopback, 8080, true, 30, _folder.File("accounts")), (config.Host, config.Port, config.RequireKeys, config.DrainSeconds, config.Data));
        Assert.Equal(("file:" + _folder.File("store.url"), false), (config.Store, config.WaitsForDisk));
        Assert.True(ServerConfig.Load(Write("wait_for_disk: true\n")).WaitsForDisk);
        ModelConfig model = Assert.Single(config.Models);
        Assert.Equal(("model.gguf", "my-model", 4096, "legal"), (model.Path, model.Alias, model.Options.ContextLength, Assert.Single(model.Options.Adapters).Name));
        Assert.Equal(new Price { Model = "my-model", Input = 250_000, CachedInput = 25_000, Output = 1_100_000 }, Assert.Single(config.Prices!));
        Assert.Equal(250_500_000, Assert.Single(config.Limits).Limits.MonthlyCost);
        UpstreamOptions big = Assert.Single(config.Upstreams);
        Assert.Equal(("big-model", 131072, TimeSpan.FromSeconds(15), 5), (big.Name, big.Context, big.HealthInterval, big.CircuitFailures));
        Assert.Equal(new TargetOptions { Name = "rack-1", BaseUrl = new Uri("http://10.0.0.7:8000/v1/"), Model = "meta/big-model", KeyVariable = "RACK_KEY", Weight = 3 }, big.Targets[0]);
        Assert.Equal(("big-model", _folder.File("vendor.key"), new Price { Input = 500_000, CachedInput = 50_000, Output = 2_000_000 }), (big.Targets[1].Model, big.Targets[1].KeyFile, big.Targets[1].Price));
        Assert.Equal(new UpstreamOptions { Name = big.Name, Targets = big.Targets, Context = big.Context }, big); // the file says what holds without it
        PolicyRules house = config.Policies.Named["house"];
        Assert.Equal(["card-numbers"], house.Input.Select(rule => rule.Name));
        Assert.Equal(["card-numbers", "project-names"], house.Output.Select(rule => rule.Name));
        Assert.Equal(["spoken-to"], house.Allow.Select(rule => rule.Name));
        Assert.Equal((2048, new Bound(0, 1.2f)), (house.Bounds.MaxTokens, house.Bounds.Sampling["temperature"]));
        Assert.Equal("thinking", house.Mode);
        Assert.Equal(["python"], config.Checkers.Keys);
        PolicyRules forms = config.Policies.Named["forms"];
        Assert.Equal([(false, true, false), (true, true, true)], forms.Schemas.Select(rule => (rule.OnInput, rule.OnOutput, rule.OnArguments)));
        Assert.Equal(["pay"], forms.Schemas[1].Functions);
        ClassifierRule harm = Assert.Single(forms.Classifiers);
        Assert.Equal(new ClassifierRule("harm", "my-model", harm.Prompt) { Denies = harm.Denies, Allows = harm.Allows, Roles = harm.Roles, OnInput = true, OnOutput = true }, harm); // the file says what holds without it
        Assert.Equal((true, false, null), (harm.Denial(" \"Yes\", it does"), harm.Denial("No."), harm.Denial("Nobody")));
        config.CheckClassifiers(["my-model"]);
        Assert.Contains("'my-model', which is not served; served are big-model, other", Assert.Throws<FlintException>(() => config.CheckClassifiers(["other"])).Message, StringComparison.Ordinal);
        var filter = new TextFilter(house.Output, _ => { });
        Assert.Equal("[card number], ", filter.Push("1234 5678 9012 3456, Snow Owl") + filter.Finish());
        Assert.True(filter.IsDenied);
    }

    [Fact]
    public void The_schema_beside_the_docs_is_that_of_the_reader()
    {
        string written = File.ReadAllText(Path.Combine(TestData.Root, "docs", "flint.schema.json"));
        Assert.True(Flint.App.Cli.Config.Schema().TrimEnd() == written.ReplaceLineEndings("\n").TrimEnd(), "docs/flint.schema.json is not what flint config schema prints");
        JsonNode root = JsonNode.Parse(written)!;
        Assert.False((bool)root["additionalProperties"]!);
        JsonNode rule = root["properties"]!["policies"]!["additionalProperties"]!["properties"]!["rules"]!["items"]!;
        Assert.Equal(["name"], rule["required"]!.AsArray().Select(name => (string?)name));
        Assert.Equal(["deny", "redact", "allow"], rule["properties"]!["action"]!["enum"]!.AsArray().Select(name => (string?)name));
        Assert.Equal((1, 4096), ((int)rule["properties"]!["max_length"]!["minimum"]!, (int)rule["properties"]!["max_length"]!["maximum"]!));
    }

    [Fact]
    public void All_that_is_wrong_is_said_at_once_with_its_line()
    {
        string path = Write("""
            listen:
              host: nowhere
              port: 70000
              colour: blue
            models:
              - path: a.gguf
                parallel: many
                adapters:
                  "a b": x
            prices:
              m: { input: 0.1234567 }
            upstreams:
              m:
                targets:
                  - base_url: ftp://user:secret@host/
                    key_env: A
                    key_file: b
                  - name: "2"
                    weight: 0
                  - name: "2"
                    base_url: http://h/
                health: { path: http://elsewhere/ }
              n: {}
            default_policy: gone
            policies:
              p:
                rules:
                  - action: forbid
                    pattern: 'a('
                  - name: twice
                    words: [x]
                    max_length: 3
                  - name: twice
                    pattern: 'x\z'
                bounds:
                  temperature: { least: 2, most: 1 }
            """);
        IReadOnlyList<string> faults = ServerConfig.Check(path);
        foreach ((int line, string what) in new[]
        {
            (2, "listen.host is 'nowhere'"), (3, "listen.port is 70000; expected 0 to 65535"), (4, "unknown key 'listen.colour'"), (7, "parallel is 'many'"), (9, "adapter"),
            (11, "at most six decimals"), (11, "prices.m.output is missing"), (24, "default_policy is 'gone'"), (28, "name is missing"), (28, "action is 'forbid'; expected deny or redact or allow"),
            (29, "cannot be used"), (32, "max_length belongs to a pattern"), (34, "\\z"), (28, "two rules are named 'twice'"), (36, "least is above its most"),
            (15, "base_url is no address"), (16, "expected key_env or key_file, not both"), (18, "base_url is missing"), (19, "weight is 0; expected 1 to 1000"), (15, "two targets of upstreams.m are named '2'"),
            (22, "health.path is 'http://elsewhere/'"), (23, "upstreams.n has 0 targets"),
        })
            Assert.True(faults.Any(fault => fault.StartsWith($"{path}:{line}: ", StringComparison.Ordinal) && fault.Contains(what, StringComparison.Ordinal)), $"line {line}: {what} is not among\n{string.Join('\n', faults)}");
        Assert.DoesNotContain(faults, fault => fault.Contains("secret", StringComparison.Ordinal));
        FlintException first = Assert.Throws<FlintException>(() => ServerConfig.Load(path));
        Assert.Equal("invalid_config", first.Code);
        Assert.Contains(first.Message, faults);

        FlintProcess.Result run = FlintProcess.Run(["config", "check", path]);
        Assert.Equal((1, faults.Count), (run.Code, run.Errors.TrimEnd('\n').Split('\n').Length));
    }

    [Theory]
    [InlineData("listen: 5\n", ":1: listen is '5'; expected a mapping")]
    [InlineData("models: x\n", ":1: models is 'x'; expected a list of mappings")]
    [InlineData("policies: [a]\n", ":1: policies is a list; expected a mapping of names")]
    [InlineData("listen: {require_keys: false, host: 0.0.0.0}\n", "a server without keys listens only on a loopback address")]
    [InlineData("models: [{alias: a}, {alias: a}]\n", "two models have the alias 'a'")]
    [InlineData("policies: {p: {rules: [{name: a, schema: '{', on: output}]}}\n", "no JSON at character 1")]
    [InlineData("policies: {p: {rules: [{name: a, schema: 'true'}]}}\n", "says what it is on")]
    [InlineData("policies: {p: {rules: [{name: a, schema: 'true', on: input, action: redact}]}}\n", "denies or allows")]
    [InlineData("policies: {p: {rules: [{name: a, schema: 'true', on: input, max_length: 3}]}}\n", "max_length does nothing in a rule with a schema")]
    [InlineData("policies: {p: {rules: [{name: a, words: x, of: content}]}}\n", "of does nothing in a rule with a pattern or words")]
    [InlineData("policies: {p: {rules: [{name: a, schema: 'true', on: output, functions: f}]}}\n", "functions belong to a rule of arguments")]
    [InlineData("policies: {p: {rules: [{name: a, classifier: {model: m, prompt: 'Is it?', denies: x, allows: y}}]}}\n", "has no {text}")]
    [InlineData("policies: {p: {rules: [{name: a, classifier: {prompt: '{text}', denies: x, allows: y}}]}}\n", "model is missing")]
    [InlineData("policies: {p: {rules: [{name: a, classifier: {model: m, prompt: '{text}', denies: x}}]}}\n", "allows is what the model's answer begins with")]
    [InlineData("policies: {p: {rules: [{name: a, classifier: {model: m, prompt: '{text}', denies: x, allows: y, window: 100, overlap: 60}}]}}\n", "at most half of the window")]
    [InlineData("policies: {p: {rules: [{name: a, roles: user, classifier: {model: m, prompt: '{text}', denies: x, allows: y}}]}}\n", "such a rule is one on input")]
    [InlineData("policies: {p: {rules: [{name: a, action: redact, classifier: {model: m, prompt: '{text}', denies: x, allows: y}}]}}\n", "a rule with a classifier denies")]
    [InlineData("limits: {default: {weight: 0}}\n", "weight is 0; expected 1 to 1000")]
    [InlineData("a: [\n", "not YAML")]
    public void A_wrong_file_is_refused(string text, string expected)
    {
        string path = Write(text);
        Assert.Contains(expected, Assert.Throws<FlintException>(() => ServerConfig.Load(path)).Message, StringComparison.Ordinal);
        Assert.Contains(ServerConfig.Check(path), fault => fault.Contains(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void Prices_and_limits_go_into_the_store()
    {
        var store = new Store(_folder.Path);
        new Prices(store).Set(new Price { Model = "old", Input = 1, CachedInput = 1, Output = 1 });
        var policies = new Policies();
        var upstreams = new UpstreamModels();
        ServerConfig.Load(Write("limits: {default: {daily_tokens: 5}, default/default: {monthly_cost: 2.5}}\n")).Apply(store, policies, upstreams);
        Assert.Equal("old", Assert.Single(new Prices(store).List()).Model);
        ServerConfig.Load(Write("prices: {new: {input: 1, output: 2}}\ndefault_policy: p\npolicies: {p: {bounds: {max_tokens: 7}}}\n")).Apply(store, policies, upstreams);
        Assert.Equal("new", Assert.Single(new Prices(store).List()).Model);
        var organizations = new Organizations(store, TimeProvider.System);
        Assert.Equal(new Limits { DailyTokens = 5 }, Limits.Of(store, new Owner(OwnerKind.Organization, organizations.Find("default").Id)));
        Assert.Equal(new Limits { MonthlyCost = 2_500_000 }, Limits.Of(store, new Owner(OwnerKind.Project, organizations.FindProject("default/default").Id)));
        Assert.True(policies.TryFind(null, out PolicyRules? rules) && rules!.Bounds.MaxTokens == 7);
        Assert.Throws<FlintException>(() => ServerConfig.Load(Write("limits: {nobody: {daily_tokens: 5}}\n")).Apply(store, policies, upstreams));
        Assert.True(policies.TryFind(null, out rules) && rules is not null); // what was in force stays
    }

    [Fact]
    public async Task A_server_reads_its_policies_again()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("there is no SIGHUP");
            return;
        }

        string path = Write("listen: {port: 0, require_keys: false}\ndata: .\nmodels: [{path: tiny.gguf, alias: small, threads: 1}]\n");
        TinyModel.Write(_folder.File("tiny.gguf"));
        ProcessStartInfo start = FlintProcess.Told("serve", "--config", path);
        start.RedirectStandardError = true;
        using Process server = Process.Start(start)!;
        try
        {
            const string listening = "Listening at ";
            using var client = new HttpClient { BaseAddress = new Uri((await LineAsync(server.StandardOutput, listening))[listening.Length..]) };
            Assert.Equal(HttpStatusCode.OK, await AskAsync(client));
            File.AppendAllText(path, "default_policy: house\npolicies: {house: {rules: [{name: greetings, words: hello}]}}\n");
            await HangUpAsync(server);
            await LineAsync(server.StandardOutput, path);
            Assert.Equal(HttpStatusCode.BadRequest, await AskAsync(client));
            File.AppendAllText(path, "nonsense: 1\n");
            await HangUpAsync(server);
            Assert.Contains("unknown key 'nonsense'", await LineAsync(server.StandardError, "flint: "), StringComparison.Ordinal);
            Assert.Equal(HttpStatusCode.BadRequest, await AskAsync(client));
        }
        finally
        {
            server.Kill();
            await server.WaitForExitAsync();
        }

        static async Task<HttpStatusCode> AskAsync(HttpClient client)
        {
            using var body = new StringContent("""{"model": "small", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}""", Encoding.UTF8, "application/json");
            using HttpResponseMessage response = await client.PostAsync(new Uri("/v1/chat/completions", UriKind.Relative), body);
            return response.StatusCode;
        }

        static async Task HangUpAsync(Process process)
        {
            using Process kill = Process.Start("kill", ["-HUP", process.Id.ToString()]);
            await kill.WaitForExitAsync();
        }

        static async Task<string> LineAsync(StreamReader lines, string start)
        {
            while (await lines.ReadLineAsync() is { } line)
            {
                if (line.StartsWith(start, StringComparison.Ordinal))
                    return line;
            }

            throw new InvalidOperationException($"No line begins with '{start}'.");
        }
    }

    private string Write(string text)
    {
        string path = _folder.File("flint.yaml");
        File.WriteAllText(path, text);
        return path;
    }
}
