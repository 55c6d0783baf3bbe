using System.Net;

namespace Flint.App.Upstreams;

/// <summary>
/// Where a model is served, as it is now: how many requests it has, whether it is up, and its circuit. It outlives a configuration that
/// is read again. Any thread.
/// </summary>
internal sealed class UpstreamTarget : IDisposable
{
    private static readonly TimeSpan CheckTimeout = TimeSpan.FromSeconds(5);

    private readonly Lock _gate = new();
    private readonly TimeProvider _time;
    private readonly Action<string> _log;
    private readonly HttpClient _http;
    private readonly TimeSpan _connectTimeout;
    private int _inFlight;
    private long _requests;
    private long _failures;
    private bool _isUp = true; // until a check says otherwise
    private bool _isRetired;

    /// <summary>Creates one that is taken to be up.</summary>
    /// <param name="model">The model's name in the API.</param>
    /// <param name="options">Where it is.</param>
    /// <param name="connectTimeout">The longest wait for a connection.</param>
    /// <param name="time">The clock.</param>
    /// <param name="log">Told what becomes of it.</param>
    public UpstreamTarget(string model, TargetOptions options, TimeSpan connectTimeout, TimeProvider time, Action<string> log)
    {
        Model = model;
        Name = options.Name;
        BaseUrl = options.BaseUrl;
        _connectTimeout = connectTimeout;
        _time = time;
        _log = log;
        Circuit = new Circuit(time);

        // A key goes where the configuration says: not on to where an answer, or the environment, would send it.
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseProxy = false,
            UseCookies = false,
            AutomaticDecompression = DecompressionMethods.None,
            ConnectTimeout = connectTimeout,
            PooledConnectionLifetime = TimeSpan.FromMinutes(5), // so that a changed address is seen
        };
        _http = new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
    }

    /// <summary>The model's name in the API.</summary>
    public string Model { get; }

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>What its routes stand under.</summary>
    public Uri BaseUrl { get; }

    /// <summary>Keeps requests from it while it fails.</summary>
    public Circuit Circuit { get; }

    /// <summary>Requests under way.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);

    /// <summary>Requests that it was asked.</summary>
    public long Requests => Interlocked.Read(ref _requests);

    /// <summary>Of those, the ones that failed.</summary>
    public long Failures => Interlocked.Read(ref _failures);

    /// <summary>Whether the last check, if there was one, found it up.</summary>
    public bool IsUp => Volatile.Read(ref _isUp);

    /// <summary>Whether it is what a configuration means, and may go on with what it knows.</summary>
    public bool Is(string model, TargetOptions options, TimeSpan connectTimeout) =>
        Model == model && Name == options.Name && BaseUrl == options.BaseUrl && _connectTimeout == connectTimeout;

    /// <summary>Whether it would take a request.</summary>
    /// <param name="concurrency">Requests that it is asked at once, at most.</param>
    public bool HasRoom(int concurrency) => InFlight < concurrency;

    /// <summary>Whether it answers, as far as is known.</summary>
    public bool Answers => IsUp && Circuit.Admits;

    /// <summary>Takes a request, where it would.</summary>
    /// <param name="concurrency">Requests that it is asked at once, at most.</param>
    /// <param name="isTrial">Whether it tries an open circuit.</param>
    public bool TryEnter(int concurrency, out bool isTrial)
    {
        lock (_gate)
        {
            isTrial = false;
            if (_inFlight >= concurrency || !IsUp || !Circuit.TryEnter(out isTrial))
                return false;
            _inFlight++;
            _requests++;
            return true;
        }
    }

    /// <summary>A request has ended.</summary>
    public void Leave()
    {
        lock (_gate)
        {
            if (--_inFlight == 0 && _isRetired)
                _http.Dispose();
        }
    }

    /// <summary>Counts a failure.</summary>
    public void CountFailure() => Interlocked.Increment(ref _failures);

    /// <summary>Says what becomes of it to whoever runs the server.</summary>
    public void Log(string what) => _log($"upstream {Model}/{Name} {what}");

    /// <summary>No request comes any more; its connections close with the last.</summary>
    public void Retire()
    {
        lock (_gate)
        {
            if (!_isRetired && _inFlight == 0)
                _http.Dispose();
            _isRetired = true;
        }
    }

    /// <inheritdoc cref="Retire"/>
    public void Dispose() => Retire();

    /// <summary>Sends a request, and completes with the head of its answer.</summary>
    public Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellation) =>
        _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);

    /// <summary>Takes it to be up, since nobody checks.</summary>
    public void AssumeUp() => Volatile.Write(ref _isUp, true);

    /// <summary>Asks once whether it is up.</summary>
    /// <param name="path">What to ask for.</param>
    /// <param name="key">Its key; null for none.</param>
    /// <param name="stop">Ends the check, which then says nothing.</param>
    public async Task CheckAsync(string path, UpstreamKey? key, CancellationToken stop)
    {
        using var deadline = new Deadline(_time, stop);
        deadline.Set(CheckTimeout);
        string? fault;
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, At(path));
            key?.Sign(request);
            using HttpResponseMessage response = await SendAsync(request, deadline.Token);
            bool isUp = response.IsSuccessStatusCode || response.StatusCode == HttpStatusCode.TooManyRequests;
            fault = isUp ? null : $"status {(int)response.StatusCode}";
        }
        catch (HttpRequestException error)
        {
            fault = error.HttpRequestError.ToString();
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            fault = "no answer in time";
        }

        bool wasUp = IsUp;
        Volatile.Write(ref _isUp, fault is null);
        if (wasUp != fault is null)
            Log(fault is null ? "is up" : $"is down: {fault}");
    }

    /// <summary>The address of a route.</summary>
    /// <param name="path">Relative to the base; from a slash on, to its host.</param>
    public Uri At(string path) => new(BaseUrl, path);
}
