using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Flint.Bench;

// Runs two engines in alternation on the same file, with a canary before each run, and keeps the record. Each command prints JSON:
// flint's own object ("pp512": tokens/s, "tg64": tokens/s, "train512": tokens/s) or llama-bench's array ("-o json").
var ours = new Option<string>("--ours") { Description = "Flint's command, one string.", Required = true };
var peer = new Option<string>("--peer") { Description = "The reference engine's command, one string.", Required = true };
var pairs = new Option<int>("--pairs") { Description = "How many pairs.", DefaultValueFactory = _ => 5 };
var threads = new Option<int>("--threads") { Description = "Threads of the canary.", DefaultValueFactory = _ => 2 };
var record = new Option<FileInfo?>("--record") { Description = "Where the record goes (JSON)." };
var root = new RootCommand("Paired measurements: A B A B ..., ratios pair by pair.") { ours, peer, pairs, threads, record };
root.Add(Overhead.Create());
root.Add(OverheadServer.Create());
root.SetAction(parsed => Measure(parsed.GetRequiredValue(ours), parsed.GetRequiredValue(peer), parsed.GetValue(pairs), parsed.GetValue(threads), parsed.GetValue(record)));
return root.Parse(args).Invoke();

static int Measure(string ours, string peer, int pairs, int threads, FileInfo? record)
{
    var rows = new JsonArray();
    var ratios = new SortedDictionary<string, List<(double Ours, double Peer)>>(StringComparer.Ordinal);
    for (int pair = 0; pair < pairs; pair++)
    {
        Canary before = Canary.Measure(threads);
        Dictionary<string, double> a = Run(ours);
        Canary between = Canary.Measure(threads);
        Dictionary<string, double> b = Run(peer);
        foreach ((string test, double speed) in a)
        {
            if (!b.TryGetValue(test, out double other)) continue;
            if (!ratios.TryGetValue(test, out var list)) ratios[test] = list = [];
            list.Add((speed, other));
            Console.WriteLine($"pair {pair + 1} {test,8}: {speed,9:0.00} vs {other,9:0.00} tokens/s, ratio {speed / other:0.000} (canary {before.ReadGigabytesPerSecond}, {between.ReadGigabytesPerSecond} GB/s)");
        }

        rows.Add(new JsonObject
        {
            ["ours"] = JsonSerializer.SerializeToNode(a),
            ["peer"] = JsonSerializer.SerializeToNode(b),
            ["canary_before_ours"] = JsonSerializer.SerializeToNode(before),
            ["canary_before_peer"] = JsonSerializer.SerializeToNode(between),
        });
    }

    var summary = new JsonObject();
    foreach ((string test, var list) in ratios)
    {
        double a = Statistics.Median(list.Select(p => p.Ours)), b = Statistics.Median(list.Select(p => p.Peer)), ratio = Statistics.Median(list.Select(p => p.Ours / p.Peer));
        Console.WriteLine($"median {test,6}: {a:0.00} vs {b:0.00} tokens/s, ratio of pairs {ratio:0.000}");
        summary[test] = new JsonObject { ["ours"] = Math.Round(a, 3), ["peer"] = Math.Round(b, 3), ["ratio"] = Math.Round(ratio, 4) };
    }

    if (record is not null)
    {
        record.Directory!.Create();
        var document = new JsonObject
        {
            ["date"] = Machine.Today,
            ["commit"] = Machine.Commit,
            ["machine"] = Machine.Describe(),
            ["ours"] = Machine.Anonymous(ours),
            ["peer"] = Machine.Anonymous(peer),
            ["pairs"] = rows,
            ["median"] = summary,
        };
        File.WriteAllText(record.FullName, document.ToJsonString(new JsonSerializerOptions { WriteIndented = true }) + "\n");
    }

    return ratios.Count == 0 ? 1 : 0;
}

static Dictionary<string, double> Run(string command)
{
    string output = Machine.Output("/bin/sh", "-c \"exec " + command.Replace("\\", "\\\\").Replace("\"", "\\\"") + "\"");
    int start = output.IndexOfAny(['{', '[']);
    if (start < 0) throw new InvalidOperationException($"no JSON from: {command}\n{output}");
    JsonNode json = JsonNode.Parse(output[start..])!;
    var speeds = new Dictionary<string, double>();
    if (json is JsonArray tests)
    {
        foreach (JsonNode? test in tests)
        {
            int prompt = (int)test!["n_prompt"]!, decode = (int)test["n_gen"]!;
            speeds[prompt > 0 ? $"pp{prompt}" : $"tg{decode}"] = (double)test["avg_ts"]!;
        }

        return speeds;
    }

    foreach ((string key, JsonNode? value) in json.AsObject())
    {
        if (Regex.IsMatch(key, "^(pp|tg|train)[0-9]+$")) speeds[key] = (double)value!;
    }

    return speeds;
}
