using System.CommandLine;
using System.CommandLine.Parsing;
using System.Data.Common;
using System.Net;
using System.Runtime.InteropServices;
using Flint.App.Accounts;
using Flint.App.Api;
using Flint.App.Config;
using Flint.App.Operations;
using Flint.App.Policy;
using Flint.App.Serving;
using Flint.App.Upstreams;
using Flint.Kernels;

namespace Flint.App.Cli;

/// <summary><c>flint serve</c>: the OpenAI-compatible API over one or more models.</summary>
internal static class Serve
{
    /// <summary>The verb's name.</summary>
    public const string Name = "serve";

    private static readonly Argument<string[]> Files = new("MODEL") { Arity = ArgumentArity.ZeroOrMore, Description = $"A GGUF file (any shard of a split one), a folder that holds one, or OWNER/REPO[:QUANT] of a pulled model; without one, and without upstreams in the configuration, {BuiltinModel.Name}, which comes with Flint." };
    private static readonly Option<string> Host = new("--host") { HelpName = "ADDRESS", DefaultValueFactory = _ => "127.0.0.1", Description = "Address to listen at; 0.0.0.0 for every interface." };
    private static readonly Option<int> Port = new("--port") { HelpName = "PORT", DefaultValueFactory = _ => 8080, Description = "Port to listen at; 0 takes a free one." };
    private static readonly Option<string[]> Alias = new("--alias") { HelpName = "NAME", Description = "Name of the model in the API, in the order of the models (default: the file's name)." };
    private static readonly Option<string[]> Adapter = new("--adapter") { HelpName = "NAME=PATH", Description = "A low-rank adapter (.gguf file or PEFT folder), which requests name as MODEL:NAME; again for more. With several models: MODEL:NAME=PATH." };
    private static readonly Option<int> Parallel = new("--parallel") { HelpName = "N", DefaultValueFactory = _ => 32, Description = "Sequences computed at once, per model; further ones wait." };
    private static readonly Option<int> Waiting = new("--waiting") { HelpName = "N", DefaultValueFactory = _ => 256, Description = "Sequences that may wait, per model; one more is refused with 429." };
    private static readonly Option<int> Context = new("--ctx") { HelpName = "TOKENS", Description = "Longest prompt and answer together (default: the model's own)." };
    private static readonly Option<KvFormat?> KvFormat = Verb.KvFormat();
    private static readonly Option<int> Threads = new("--threads") { HelpName = "N", Description = "Threads that compute (default: one per core)." };
    private static readonly Option<bool> NoAuth = new("--no-auth") { Description = "Ask for no key. Only on a loopback address." };
    private static readonly Option<int> Drain = new("--drain") { HelpName = "SECONDS", DefaultValueFactory = _ => 30, Description = "How long running requests may go on after Ctrl+C or SIGTERM." };
    private static readonly Option<string?> TlsCertificate = new("--tls-cert") { HelpName = "FILE", Description = "Speak HTTPS: the certificate as PEM, with those that it was issued by behind it. Read again when it changes, and at SIGHUP." };
    private static readonly Option<string?> TlsKey = new("--tls-key") { HelpName = "FILE", Description = "Its private key as PEM, not encrypted." };
    private static readonly Option<string?> Log = new("--log") { HelpName = "FORM", Description = "text (the default): what an operator must know, in sentences. json: that and every request, a JSON object a line." };
    private static readonly Option<string?> Profile = new("--profile") { HelpName = "NAME", Description = "muse: refuse what Meta's Model API refuses, so that what works here works there." };
    private static readonly Option<string?> ConfigFile = new("--config") { HelpName = "FILE", Description = "A flint.yaml: the server, its models, prices, limits and policies. Options given beside it go before it; SIGHUP has prices, limits, policies and upstreams read again." };
    private static readonly Option<string?> Data = DataOption.Create();
    private static readonly Lock Reloading = new();

    /// <summary>The verb.</summary>
    public static Command Create()
    {
        var command = new Command(Name, "Serve models over the OpenAI API.") { Files, Host, Port, Alias, Adapter, Parallel, Waiting, Context, KvFormat, Threads, NoAuth, Drain, TlsCertificate, TlsKey, Log, Profile, ConfigFile, Data, DataOption.Address };
        command.SetAction((parsed, _) => RunAsync(parsed));
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed)
    {
        string? file = parsed.GetValue(ConfigFile);
        ServerConfig config = file is null ? new ServerConfig() : ServerConfig.Load(file);
        ServerLog log = OpenLog(parsed, config);
        ApiOptions options = ReadOptions(parsed, config, log);
        string? data = parsed.GetValue(Data) ?? config.Data;
        Store store = DataOption.Open(parsed, data, config.Store);
        var policies = new Policies();
        var upstreams = new UpstreamModels(log: line => log.Fail("upstream", line));
        config.Apply(store, policies, upstreams);
        List<ServedModel> models = Load(Choose(parsed, config), config);
        using TelemetryExport? export = TelemetryExport.Start(config.Telemetry);
        await using var server = new ApiServer(options, models, store, policies, upstreams: upstreams);
        await server.StartAsync();

        foreach (ServedModel model in models)
            log.Tell("model", $"{model.Name}: {model.Description}");
        foreach (UpstreamModel model in upstreams.All)
            log.Tell("model", $"{model.Name}: upstreams {string.Join(", ", model.Options.Targets.Select(target => target.Name))}");
        if (options.RequireKeys && !new Accounts.Keys(store, TimeProvider.System).Any())
            log.Tell("no_key", "No key exists yet; requests need one. To make it: flint keys create --name NAME" + (data is null ? "" : $" --data {data}"));
        log.Tell("listening", $"Listening at {server.Address}");

        // The first signal drains; a second one ends the wait.
        using var stop = new SemaphoreSlim(0);
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Take);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Take);
        using PosixSignalRegistration? hangup = file is null && options.Certificates is null ? null : PosixSignalRegistration.Create(PosixSignal.SIGHUP, signal =>
        {
            signal.Cancel = true;
            options.Certificates?.Reload();
            if (file is not null)
                Reload(file, store, policies, upstreams, models, log);
        });
        await stop.WaitAsync();
        int seconds = IsGiven(parsed, Drain) ? parsed.GetValue(Drain) : config.DrainSeconds ?? parsed.GetValue(Drain);
        log.Tell("stopping", $"Stopping; running requests have {seconds} s (again to stop now).");
        using var hurry = new CancellationTokenSource(TimeSpan.FromSeconds(seconds));
        Task again = stop.WaitAsync(hurry.Token).ContinueWith(_ => hurry.Cancel(), TaskScheduler.Default);
        await server.StopAsync(hurry.Token);
        return 0;

        void Take(PosixSignalContext signal)
        {
            signal.Cancel = true;
            stop.Release();
        }
    }

    // A file that is wrong changes nothing.
    private static void Reload(string file, Store store, Policies policies, UpstreamModels upstreams, IReadOnlyList<ServedModel> models, ServerLog log)
    {
        lock (Reloading)
        {
            try
            {
                ServerConfig config = ServerConfig.Load(file);
                config.CheckClassifiers(NamesOf(models));
                config.Apply(store, policies, upstreams);
                log.Tell("reloaded", $"{file} was read again: its policies, upstreams, prices and limits hold from now on.");
            }
            catch (Exception error) when (error is FlintException or IOException or UnauthorizedAccessException or DbException)
            {
                log.Fail("not_reloaded", $"{error.Message}; the policies and upstreams in force stay.");
            }
        }
    }

    private static bool IsGiven(ParseResult parsed, Option option) => parsed.GetResult(option) is { Implicit: false };

    private static ServerLog OpenLog(ParseResult parsed, ServerConfig config)
    {
        string form = parsed.GetValue(Log) ?? config.Log ?? ServerConfig.PlainText;
        if (form is not (ServerConfig.PlainText or ServerConfig.Json))
            throw FlintException.Caller("invalid_log", $"--log takes {ServerConfig.PlainText} or {ServerConfig.Json}, not '{form}'.");
        return ServerLog.OnConsole(isJson: form == ServerConfig.Json);
    }

    // The files of the command line, together, go before those of the configuration.
    private static Certificates? OpenCertificates(ParseResult parsed, ServerConfig config, ServerLog log)
    {
        string? certificate = parsed.GetValue(TlsCertificate), key = parsed.GetValue(TlsKey);
        if ((certificate is null) != (key is null))
            throw FlintException.Caller("conflicting_options", "--tls-cert and --tls-key belong together.");
        (certificate, key) = certificate is null ? (config.TlsCertificate, config.TlsKey) : (certificate, key);
        return certificate is null ? null : new Certificates(certificate, key!, log);
    }

    private static ApiOptions ReadOptions(ParseResult parsed, ServerConfig config, ServerLog log)
    {
        string host = parsed.GetValue(Host)!;
        IPAddress? address = host.Equals("localhost", StringComparison.OrdinalIgnoreCase) ? IPAddress.Loopback : null;
        if (address is null && !IPAddress.TryParse(host, out address))
            throw FlintException.Caller("invalid_host", $"--host takes an IP address or localhost, not '{host}'.");
        if (parsed.GetValue(Port) is < 0 or > 65535)
            throw FlintException.Caller("invalid_port", $"--port takes 0 to 65535, not {parsed.GetValue(Port)}.");
        if (parsed.GetValue(Drain) is < 0 or > 86_400)
            throw FlintException.Caller("invalid_drain", $"--drain takes 0 to 86400 seconds, not {parsed.GetValue(Drain)}.");
        string? profile = parsed.GetValue(Profile);
        if (profile is not (null or ServerConfig.Muse))
            throw FlintException.Caller("invalid_profile", $"--profile takes muse, not '{profile}'.");
        return new ApiOptions
        {
            Address = IsGiven(parsed, Host) ? address : config.Host ?? address,
            Port = IsGiven(parsed, Port) ? parsed.GetValue(Port) : config.Port ?? parsed.GetValue(Port),
            RequireKeys = !parsed.GetValue(NoAuth) && config.RequireKeys,
            IsMuse = profile is not null || config.IsMuse,
            WaitsForDisk = config.WaitsForDisk,
            Checkers = config.Checkers,
            Certificates = OpenCertificates(parsed, config, log),
            Log = log,
        };
    }

    /// <summary>Reads <c>[MODEL:]NAME=PATH</c>.</summary>
    private static (string? Model, AdapterSource Source) ReadAdapter(string text, int models)
    {
        int equals = text.IndexOf('=', StringComparison.Ordinal);
        int colon = equals < 0 ? -1 : text.LastIndexOf(':', equals);
        if (equals < 0 || (colon < 0 && models > 1))
            throw FlintException.Caller("invalid_adapter", $"--adapter takes {(models > 1 ? "MODEL:" : "")}NAME=PATH, not '{text}'.");
        return (colon < 0 ? null : text[..colon], new AdapterSource(text[(colon + 1)..equals], text[(equals + 1)..]));
    }

    /// <summary>The models of the command line; where it names none, those of the configuration, which may be none but upstreams'.</summary>
    private static IReadOnlyList<ModelConfig> Choose(ParseResult parsed, ServerConfig config)
    {
        string?[] files = parsed.GetValue(Files) is { Length: > 0 } named ? named : (string?[])[null];
        if (files[0] is null && config.Models.Count + config.Upstreams.Count > 0)
        {
            if (Array.Find((Option[])[Alias, Adapter, Parallel, Waiting, Context, KvFormat, Threads], option => IsGiven(parsed, option)) is { } extra)
                throw FlintException.Caller("conflicting_options", $"{extra.Name} is for models that the command line names; those of the configuration say it there.");
            return config.Models;
        }

        string[] aliases = parsed.GetValue(Alias) ?? [];
        if (aliases.Length > files.Length)
            throw FlintException.Caller("too_many_aliases", $"{aliases.Length} aliases are given for {files.Length} models.");
        var options = new ServingOptions
        {
            Parallel = parsed.GetValue(Parallel),
            Waiting = parsed.GetValue(Waiting),
            ContextLength = parsed.GetValue(Context),
            KvFormat = parsed.GetValue(KvFormat),
            Threads = parsed.GetValue(Threads),
        };
        List<(string? Model, AdapterSource Source)> adapters = [.. (parsed.GetValue(Adapter) ?? []).Select(text => ReadAdapter(text, files.Length))];
        var models = new List<ModelConfig>();
        for (int i = 0; i < files.Length; i++)
        {
            string path = ModelLocator.Find(files[i]);
            string name = i < aliases.Length ? aliases[i] : ServedModel.NameOf(path);
            models.Add(new ModelConfig(path, name, options with { Adapters = [.. adapters.Where(a => a.Model is null || a.Model == name).Select(a => a.Source)] }));
        }

        if (adapters.Find(a => a.Model is not null && !models.Exists(m => m.Alias == a.Model)) is { Model: { } unknown })
            throw FlintException.Caller("model_not_found", $"--adapter: no model is named '{unknown}'; expected one of {string.Join(", ", models.Select(m => m.Alias))}.");
        return models;
    }

    private static IEnumerable<string> NamesOf(IReadOnlyList<ServedModel> models) => models.SelectMany(model => model.Variants).Select(variant => variant.Name);

    private static List<ServedModel> Load(IReadOnlyList<ModelConfig> configs, ServerConfig whole)
    {
        var models = new List<ServedModel>();
        try
        {
            foreach (ModelConfig config in configs)
            {
                string path = ModelLocator.Find(config.Path);
                models.Add(ServedModel.Load(path, config.Alias ?? ServedModel.NameOf(path), config.Options));
            }

            whole.CheckClassifiers(NamesOf(models));
            return models;
        }
        catch
        {
            foreach (ServedModel model in models)
                model.Dispose();
            throw;
        }
    }
}
