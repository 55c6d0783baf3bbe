using System.Net;
using System.Text.Json.Nodes;
using Flint.App.Accounts;
using Flint.App.Operations;
using Flint.App.Policy;
using Flint.App.Serving;
using Flint.App.Upstreams;
using Flint.Kernels;

namespace Flint.App.Config;

/// <summary>A model as a configuration names it.</summary>
/// <param name="Path">A file, a folder or a pulled model; null for the one that comes with Flint.</param>
/// <param name="Alias">Its name in the API; null for the file's.</param>
/// <param name="Options">The sizes it is served with, and its adapters.</param>
internal sealed record ModelConfig(string? Path, string? Alias, ServingOptions Options);

/// <summary>A server as <c>flint.yaml</c> describes it. Paths in the file are relative to it.</summary>
internal sealed record ServerConfig
{
    /// <summary>The profile that refuses what Meta's Model API refuses.</summary>
    public const string Muse = "muse";

    /// <summary>The log of one JSON object a line.</summary>
    public const string Json = "json";

    /// <summary>The log of plain sentences.</summary>
    public const string PlainText = "text";

    /// <summary>Most models.</summary>
    public const int MaxModels = 64;

    /// <summary>The address to listen at; null where the file names none.</summary>
    public IPAddress? Host { get; init; }

    /// <summary>The port; null where the file names none.</summary>
    public int? Port { get; init; }

    /// <summary>Whether requests need a key.</summary>
    public bool RequireKeys { get; init; } = true;

    /// <summary>Whether what Meta's Model API refuses is refused.</summary>
    public bool IsMuse { get; init; }

    /// <summary>Seconds that running requests may go on when the server stops; null where the file names none.</summary>
    public int? DrainSeconds { get; init; }

    /// <summary>The file of the certificate; null for a server that speaks plain HTTP.</summary>
    public string? TlsCertificate { get; init; }

    /// <summary>The file of its key; null where that is.</summary>
    public string? TlsKey { get; init; }

    /// <summary>The form of the log; null where the file names none.</summary>
    public string? Log { get; init; }

    /// <summary>Where traces and metrics go.</summary>
    public TelemetryOptions Telemetry { get; init; } = TelemetryOptions.OfEnvironment;

    /// <summary>The address of the PostgreSQL database of the accounts, or <c>file:PATH</c> of a file that holds it; null where the file names none.</summary>
    public string? Store { get; init; }

    /// <summary>Whether an answer waits until its record is on the disk.</summary>
    public bool WaitsForDisk { get; init; }

    /// <summary>The directory of the accounts; null for the usual one.</summary>
    public string? Data { get; init; }

    /// <summary>The models of this server's own; none for the one that comes with Flint, where there are no upstreams.</summary>
    public IReadOnlyList<ModelConfig> Models { get; init; } = [];

    /// <summary>The models that upstreams serve.</summary>
    public IReadOnlyList<UpstreamOptions> Upstreams { get; init; } = [];

    /// <summary>The whole price table; null where the file has none, and the store's holds.</summary>
    public IReadOnlyList<Price>? Prices { get; init; }

    /// <summary>Limits of organisations and projects (<c>ORGANISATION/PROJECT</c>), by their names.</summary>
    public IReadOnlyList<(string Owner, Limits Limits)> Limits { get; init; } = [];

    /// <summary>What texts of requests and answers must keep to.</summary>
    public PolicyTable Policies { get; init; } = PolicyTable.Empty;

    /// <summary>The commands that code of agents can be put to, by name.</summary>
    public IReadOnlyDictionary<string, CodeChecker> Checkers { get; init; } = new Dictionary<string, CodeChecker>();

    /// <summary>Reads a file.</summary>
    /// <exception cref="FlintException">Caller: something in it is wrong; the message names the line.</exception>
    public static ServerConfig Load(string path)
    {
        YamlSection root = YamlSection.Load(path);
        ServerConfig config = Read(root, path);
        root.Close();
        return config;
    }

    /// <summary>All that is wrong with a file, a sentence each.</summary>
    public static IReadOnlyList<string> Check(string path)
    {
        var faults = new List<FlintException>();
        try
        {
            YamlSection root = YamlSection.Load(path, faults);
            Read(root, path);
            root.Close();
        }
        catch (FlintException fault)
        {
            faults.Add(fault); // after which nothing more can be said
        }

        return [.. faults.Select(fault => fault.Message).Distinct()];
    }

    /// <summary>The JSON schema of such files: what was asked of one that has everything.</summary>
    /// <param name="example">The text of that file.</param>
    public static JsonObject Schema(string example)
    {
        var faults = new List<FlintException>(); // files that it names are not there
        YamlSection root = YamlSection.Read("flint.yaml", example, faults);
        Read(root, "flint.yaml");
        var schema = new JsonObject { ["$schema"] = "https://json-schema.org/draft/2020-12/schema", ["title"] = "flint.yaml" };
        foreach ((string name, JsonNode? value) in root.Schema())
            schema[name] = value?.DeepClone();
        return schema;
    }

    /// <summary>Brings the prices and limits of the file into the store, and its policies and upstreams into force.</summary>
    /// <exception cref="FlintException">
    /// Caller: limits are named for an organisation or a project that does not exist, or an upstream's name is taken or its key not to be
    /// had; all is as it was.
    /// </exception>
    public void Apply(Store store, Policies policies, UpstreamModels upstreams)
    {
        IReadOnlyList<UpstreamModel> prepared = upstreams.Prepare(Upstreams);
        var organizations = new Organizations(store, TimeProvider.System);
        List<(Owner Owner, Limits Limits)> limits =
        [
            .. Limits.Select(entry => (entry.Owner.Contains('/', StringComparison.Ordinal)
                ? new Owner(OwnerKind.Project, organizations.FindProject(entry.Owner).Id)
                : new Owner(OwnerKind.Organization, organizations.Find(entry.Owner).Id), entry.Limits)),
        ];
        if (Prices is not null)
            new Prices(store).Replace(Prices);
        foreach ((Owner owner, Limits limit) in limits)
            Accounts.Limits.Set(store, owner, limit);
        policies.Replace(Policies);
        upstreams.Replace(prepared);
    }

    /// <summary>Checks that the models are there which classifiers of its policies name.</summary>
    /// <param name="own">The names of the server's own models and their adapters.</param>
    /// <exception cref="FlintException">Caller: one is not.</exception>
    public void CheckClassifiers(IEnumerable<string> own)
    {
        HashSet<string> known = [.. own, .. Upstreams.Select(upstream => upstream.Name)];
        foreach (PolicyRules policy in Policies.Named.Values)
        {
            if (policy.Classifiers.FirstOrDefault(rule => !known.Contains(rule.Model)) is { } lost)
                throw FlintException.Caller("model_not_found", $"The rule '{lost.Name}' of the policy '{policy.Name}' asks the model '{lost.Model}', which is not served; served are {string.Join(", ", known.Order(StringComparer.Ordinal))}.");
        }
    }

    private static ServerConfig Read(YamlSection root, string path)
    {
        string home = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path))!;
        string At(string relative) => System.IO.Path.GetFullPath(System.IO.Path.Combine(home, relative));

        YamlSection? listen = root.Section("listen");
        string? host = listen?.Text("host");
        IPAddress? address = host is null ? null : host.Equals("localhost", StringComparison.OrdinalIgnoreCase) ? IPAddress.Loopback : IPAddress.TryParse(host, out IPAddress? parsed) ? parsed : null;
        if (host is not null && address is null)
            listen!.Report("host", $"listen.host is '{host}'; expected an IP address or localhost");
        bool requireKeys = listen?.Flag("require_keys", true) ?? true;
        if (!requireKeys && address is not null && !IPAddress.IsLoopback(address))
            listen!.Report("require_keys", $"a server without keys listens only on a loopback address, not on {address}");
        string? certificate = listen?.Text("tls_cert"), key = listen?.Text("tls_key");
        if ((certificate is null) != (key is null))
            listen!.Report(certificate is null ? "tls_key" : "tls_cert", "listen.tls_cert and listen.tls_key belong together");
        return new ServerConfig
        {
            Host = address,
            Port = (int?)listen?.OptionalInteger("port", 0, 65535),
            RequireKeys = requireKeys,
            IsMuse = listen?.Choice("profile", "open", Muse) == Muse,
            DrainSeconds = (int?)listen?.OptionalInteger("drain_seconds", 0, 86_400),
            TlsCertificate = certificate is null ? null : At(certificate),
            TlsKey = key is null ? null : At(key),
            Log = root.Choice("log", PlainText, Json),
            Telemetry = ReadTelemetry(root),
            Data = root.Text("data") is { } data ? At(data) : null,
            Store = root.Text("store") is { } store ? ReadStore(root, store, At) : null,
            WaitsForDisk = root.Flag("wait_for_disk", false),
            Models = ReadModels(root, At),
            Upstreams = UpstreamReader.Read(root, At),
            Prices = ReadPrices(root),
            Limits = ReadLimits(root),
            Policies = PolicyReader.Read(root, At),
            Checkers = ReadCheckers(root),
        };
    }

    private static Dictionary<string, CodeChecker> ReadCheckers(YamlSection root)
    {
        var checkers = new Dictionary<string, CodeChecker>(StringComparer.Ordinal);
        foreach ((string name, YamlSection section) in root.Named("checkers"))
        {
            IReadOnlyList<string> command = section.Texts("command") ?? [];
            var limit = TimeSpan.FromSeconds(section.Integer("seconds", 10, 1, CodeChecker.MaxSeconds));
            if (section.Make("command", () => new CodeChecker(command, limit)) is { } checker)
                checkers[name] = checker;
        }

        return checkers;
    }

    private static TelemetryOptions ReadTelemetry(YamlSection root)
    {
        YamlSection? section = root.Section("telemetry");
        string? endpoint = section?.Text("otlp_endpoint");
        bool isHttp = section?.Choice("otlp_protocol", "grpc", "http/protobuf") == "http/protobuf";
        if (endpoint is null)
            return TelemetryOptions.OfEnvironment;
        if (Uri.TryCreate(endpoint, UriKind.Absolute, out Uri? address) && address.Scheme is "http" or "https")
            return new TelemetryOptions(address, isHttp);
        section!.Report("otlp_endpoint", $"telemetry.otlp_endpoint is '{endpoint}'; expected an address such as http://localhost:4317");
        return TelemetryOptions.OfEnvironment;
    }

    // An address is checked without being repeated in a message, as it may hold a password.
    private static string? ReadStore(YamlSection root, string store, Func<string, string> at)
    {
        const string file = Accounts.Store.FilePrefix;
        if (store.StartsWith(file, StringComparison.Ordinal))
            return file + at(store[file.Length..]);
        return root.Make("store", () =>
        {
            Accounts.Store.CheckAddress(store);
            return store;
        });
    }

    private static List<ModelConfig> ReadModels(YamlSection root, Func<string, string> at)
    {
        var models = new List<ModelConfig>();
        foreach (YamlSection section in root.Sections("models"))
        {
            string? path = section.Text("path");
            if (path is not null && (File.Exists(at(path)) || Directory.Exists(at(path))))
                path = at(path); // else a pulled model, or the one that comes with Flint
            var defaults = new ServingOptions();
            var adapters = new List<AdapterSource>();
            foreach ((string name, string file) in section.Section("adapters")?.Entries() ?? [])
            {
                if (section.Make("adapters", () => new AdapterSource(name, at(file))) is { } adapter)
                    adapters.Add(adapter);
            }

            models.Add(new ModelConfig(path, section.Text("alias"), new ServingOptions
            {
                Parallel = section.Integer("parallel", defaults.Parallel, 1, 1 << 16),
                Waiting = section.Integer("waiting", defaults.Waiting, 0, 1 << 20),
                ContextLength = section.Integer("context", defaults.ContextLength, 0, 1 << 28),
                KvFormat = section.Choice("kv_format", "f32", "f16", "q8") is { } format ? Enum.Parse<KvFormat>(format, ignoreCase: true) : null,
                Threads = section.Integer("threads", defaults.Threads, 0, 1024),
                Adapters = adapters,
            }));
        }

        if (models.Count > MaxModels)
            root.Report("models", $"models has {models.Count} entries; expected at most {MaxModels}");
        if (models.Where(model => model.Alias is not null).GroupBy(model => model.Alias).FirstOrDefault(group => group.Count() > 1) is { } twice)
            root.Report("models", $"two models have the alias '{twice.Key}'");
        return models;
    }

    private static List<Price>? ReadPrices(YamlSection root)
    {
        if (!root.Has("prices"))
            return null;
        var prices = new List<Price>();
        foreach ((string model, YamlSection section) in root.Named("prices"))
            prices.Add(ReadPrice(section, model, $"prices.{model}"));

        return prices;
    }

    /// <summary>Reads a price.</summary>
    /// <param name="section">What has its fields.</param>
    /// <param name="model">The model that it is of.</param>
    /// <param name="path">How the section is named where one of them is missing.</param>
    internal static Price ReadPrice(YamlSection section, string model, string path)
    {
        long input = ReadMoney(section, "input") ?? 0, output = ReadMoney(section, "output") ?? 0;
        var price = new Price { Model = model, Input = input, CachedInput = ReadMoney(section, "cached") ?? input, Output = output };
        section.Make("input", () =>
        {
            Accounts.Prices.Check(model.Length == 0 ? price with { Model = path } : price);
            return price;
        });
        foreach (string key in (string[])["input", "output"])
        {
            if (!section.Has(key))
                section.Report(key, $"{path}.{key} is missing");
        }

        return price;
    }

    private static List<(string Owner, Limits Limits)> ReadLimits(YamlSection root) =>
    [
        .. root.Named("limits").Select(entry => (entry.Name, new Limits
        {
            RequestsPerMinute = ReadLimit(entry.Section, "requests_per_minute"),
            TokensPerMinute = ReadLimit(entry.Section, "tokens_per_minute"),
            ConcurrentRequests = ReadLimit(entry.Section, "concurrent_requests"),
            DailyTokens = ReadLimit(entry.Section, "daily_tokens"),
            MonthlyTokens = ReadLimit(entry.Section, "monthly_tokens"),
            DailyCost = ReadMoney(entry.Section, "daily_cost"),
            MonthlyCost = ReadMoney(entry.Section, "monthly_cost"),
            Weight = entry.Section.OptionalInteger("weight", 1, Accounts.Limits.MaxWeight),
        })),
    ];

    private static long? ReadLimit(YamlSection section, string key) => section.OptionalInteger(key, 0, Accounts.Limits.Largest);

    private static long? ReadMoney(YamlSection section, string key)
    {
        if (section.Amount(key) is not { } text)
            return null;
        long amount = 0;
        section.Make(key, () =>
        {
            amount = Money.Parse(text);
            return text;
        });
        return amount;
    }
}
