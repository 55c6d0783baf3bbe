namespace Flint.App.Upstreams;

/// <summary>The models that upstreams serve, as they are configured now, and the checks of whether these are up.</summary>
public sealed class UpstreamModels : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly TimeProvider _time;
    private readonly Action<string> _log;
    private volatile IReadOnlyList<UpstreamModel> _models = [];
    private HashSet<string> _taken = [];
    private List<Task> _checks = [];
    private CancellationTokenSource? _stop; // of the checks; null while there are none

    /// <summary>Creates an empty table.</summary>
    /// <param name="time">The clock; the system's where null.</param>
    /// <param name="log">Told, in a line, what becomes of a target; nobody where null.</param>
    public UpstreamModels(TimeProvider? time = null, Action<string>? log = null)
    {
        _time = time ?? TimeProvider.System;
        _log = log ?? (static _ => { });
    }

    /// <summary>The models.</summary>
    public IReadOnlyList<UpstreamModel> All => _models;

    /// <summary>Keeps names for the models that a server has itself.</summary>
    /// <exception cref="FlintException">Caller: an upstream's model has one of them.</exception>
    public void Reserve(IEnumerable<string> names)
    {
        _taken = [.. names];
        Refuse(_models.Select(model => model.Name));
    }

    /// <summary>Makes models of a configuration, for <see cref="Replace"/>; changes nothing yet.</summary>
    /// <exception cref="FlintException">Caller: a name is taken, or a key is not where it should be.</exception>
    public IReadOnlyList<UpstreamModel> Prepare(IReadOnlyList<UpstreamOptions> options)
    {
        Refuse(options.Select(model => model.Name));
        UpstreamTarget[] known = [.. _models.SelectMany(model => model.Members).Select(member => member.Target)];
        DateTimeOffset now = _time.GetUtcNow();
        return [.. options.Select(model => new UpstreamModel(model, [.. model.Targets.Select(target => Member(model, target))], now, _time))];

        UpstreamMember Member(UpstreamOptions model, TargetOptions target) => new(
            target,
            UpstreamKey.Read(target),
            Array.Find(known, one => one.Is(model.Name, target, model.ConnectTimeout)) ?? new UpstreamTarget(model.Name, target, model.ConnectTimeout, _time, _log));
    }

    /// <summary>Brings models into force; requests under way go on with what they began with.</summary>
    public void Replace(IReadOnlyList<UpstreamModel> models)
    {
        lock (_gate)
        {
            HashSet<UpstreamTarget> kept = [.. models.SelectMany(model => model.Members).Select(member => member.Target)];
            foreach (UpstreamMember member in _models.SelectMany(model => model.Members))
            {
                if (!kept.Contains(member.Target))
                    member.Target.Retire();
            }

            _models = models;
            if (_stop is not null)
                Check();
        }
    }

    /// <summary>Begins to check whether targets are up.</summary>
    public void Start()
    {
        lock (_gate)
            Check();
    }

    /// <summary>Ends the checks and closes what connections are free.</summary>
    public async ValueTask DisposeAsync()
    {
        CancellationTokenSource? stop;
        Task[] checks;
        lock (_gate)
            (stop, checks) = (_stop, _checks.ToArray());
        if (stop is not null)
            await stop.CancelAsync();
        await Task.WhenAll(checks);
        foreach (UpstreamMember member in _models.SelectMany(model => model.Members))
            member.Target.Retire();
    }

    private void Refuse(IEnumerable<string> names)
    {
        if (names.FirstOrDefault(_taken.Contains) is { } twice)
            throw FlintException.Caller("model_name_taken", $"Two models are named '{twice}': one of this server's own, and one of an upstream.");
    }

    private void Check()
    {
        _stop?.Cancel();
        _stop = new CancellationTokenSource();
        CancellationToken stop = _stop.Token;
        _checks = [.. _checks.Where(check => !check.IsCompleted)];
        foreach (UpstreamModel model in _models)
        {
            foreach (UpstreamMember member in model.Members)
            {
                if (model.Options.HealthInterval > TimeSpan.Zero)
                    _checks.Add(Task.Run(() => CheckAsync(model.Options, member, stop), CancellationToken.None));
                else
                    member.Target.AssumeUp();
            }
        }
    }

    private async Task CheckAsync(UpstreamOptions options, UpstreamMember member, CancellationToken stop)
    {
        try
        {
            while (true)
            {
                await member.Target.CheckAsync(options.HealthPath, member.Key, stop);
                await Task.Delay(options.HealthInterval, _time, stop);
            }
        }
        catch (Exception error) when (error is OperationCanceledException or ObjectDisposedException)
        {
            // The table has changed, or the server stops.
        }
    }
}
