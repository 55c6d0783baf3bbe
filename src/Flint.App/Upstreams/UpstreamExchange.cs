using System.Net;
using System.Net.Http.Headers;
using System.Net.ServerSentEvents;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Flint.App.Upstreams;

/// <summary>One request to one target, and its answer while it is read. Used by one reader at a time.</summary>
internal sealed partial class UpstreamExchange : IAsyncDisposable
{
    // No vocabulary in use has a token of more bytes; who writes more than so many for each was not held to the number it was told.
    private const int LongestToken = 512;

    private const int MaxErrorBytes = 64 * 1024;
    private const int MaxMessage = 500; // characters of an upstream's error that are told on

    private static readonly TimeSpan LongestRetry = TimeSpan.FromMinutes(1);

    private readonly UpstreamModel _model;
    private readonly UpstreamLease _lease;
    private readonly UpstreamRequest _request;
    private readonly CancellationToken _client;
    private readonly Deadline _deadline;
    private HttpResponseMessage? _response;
    private UpstreamBody? _body;
    private IAsyncEnumerator<SseItem<byte[]>>? _events;
    private bool _hasBegun;
    private bool _hasFailed;

    /// <summary>Prepares an exchange.</summary>
    /// <param name="model">The model.</param>
    /// <param name="lease">The place at a target, which is the exchange's from now on.</param>
    /// <param name="request">What to ask.</param>
    /// <param name="client">The client has left.</param>
    public UpstreamExchange(UpstreamModel model, UpstreamLease lease, UpstreamRequest request, CancellationToken client)
    {
        _model = model;
        _lease = lease;
        _request = request;
        _client = client;
        _deadline = new Deadline(model.Time, client);
        Reader = new ChunkReader(model.Name, request.Choices, (long)request.MaxTokens * LongestToken, request.TopLogprobs >= 0);
    }

    /// <summary>What was read.</summary>
    public ChunkReader Reader { get; }

    /// <summary>Whether the target has taken the request on.</summary>
    public bool IsAccepted { get; private set; }

    /// <summary>Asks, and reads until there is something to tell.</summary>
    /// <param name="into">Receives it.</param>
    /// <exception cref="FlintException">Caller: the request was wrong to the upstream. Machine: the target failed.</exception>
    /// <exception cref="OperationCanceledException">The client has left.</exception>
    public Task BeginAsync(List<UpstreamNews> into) => GuardAsync(async () =>
    {
        _deadline.Set(_model.Options.FirstTimeout);
        using (HttpRequestMessage message = NewMessage())
            _response = await _lease.Member.Target.SendAsync(message, _deadline.Token);
        if (!_response.IsSuccessStatusCode)
            throw await RefusalAsync(_response);
        if (!string.Equals(_response.Content.Headers.ContentType?.MediaType, "text/event-stream", StringComparison.OrdinalIgnoreCase))
            throw UpstreamFault.Failed(_model.Name, "answered with something else than a stream of events");
        IsAccepted = true;
        _body = new UpstreamBody(
            await _response.Content.ReadAsStreamAsync(_deadline.Token), _deadline, _model.Options.ChunkTimeout,
            () => UpstreamFault.Failed(_model.Name, $"sent an event of more than {UpstreamBody.MaxEventBytes} bytes"));
        _events = SseParser.Create<byte[]>(_body, static (_, data) => data.ToArray()).EnumerateAsync(_deadline.Token).GetAsyncEnumerator(_deadline.Token);
        while (into.Count == 0 && await ReadEventAsync(into))
        {
        }

        _hasBegun = true;
        _lease.Begin();
        return true;
    });

    /// <summary>Reads the next event.</summary>
    /// <param name="into">Receives what is new.</param>
    /// <returns>False where the answer is complete.</returns>
    /// <exception cref="FlintException">Machine: the target failed.</exception>
    /// <exception cref="OperationCanceledException">The client has left.</exception>
    public Task<bool> ReadAsync(List<UpstreamNews> into) => GuardAsync(() => ReadEventAsync(into));

    /// <summary>Breaks off what goes on, and gives the place back.</summary>
    public async ValueTask DisposeAsync()
    {
        // First the connection: a reader that is to be closed would else wait for it.
        _response?.Dispose();
        if (_events is not null)
            await _events.DisposeAsync();
        if (_body is not null)
            await _body.DisposeAsync();
        if (_hasBegun && !_hasFailed)
            _lease.Succeed();
        _lease.Dispose();
        _deadline.Dispose();
    }

    private async Task<bool> ReadEventAsync(List<UpstreamNews> into)
    {
        if (!await _events!.MoveNextAsync())
            return Reader.HasEnded ? false : throw UpstreamFault.Failed(_model.Name, "broke off in the midst of its answer");

        _body!.EndEvent();
        Reader.Read(_events.Current.Data, into);
        if (!Reader.IsDone)
            return true;
        return Reader.HasEnded ? false : throw UpstreamFault.Failed(_model.Name, "ended its stream before its answer");
    }

    // Whatever goes wrong becomes a fault with a side, and counts against the target where it is the target's.
    private async Task<bool> GuardAsync(Func<Task<bool>> act)
    {
        try
        {
            return await act();
        }
        catch (Exception) when (Reader.HasEnded && !_client.IsCancellationRequested)
        {
            return false; // all is said; what it used is not, and is estimated
        }
        catch (Exception error) when (!_client.IsCancellationRequested)
        {
            FlintException fault = error switch
            {
                FlintException known => known,
                OperationCanceledException when _deadline.HasPassed => UpstreamFault.TimedOut(_model.Name),
                OperationCanceledException or HttpRequestException when _response is null => UpstreamFault.Unavailable(_model.Name, error),
                _ => UpstreamFault.Failed(_model.Name, "broke off in the midst of its answer", error),
            };
            if (fault.Side == FaultSide.Caller)
            {
                _hasBegun = true; // and well: it knows what it does
            }
            else
            {
                _hasFailed = true;
                _lease.Fail(isBusy: fault is { Code: UpstreamFault.UnavailableCode, RetryAfter: not null });
            }

            if (ReferenceEquals(fault, error))
                throw;
            throw fault;
        }
    }

    private HttpRequestMessage NewMessage()
    {
        TargetOptions target = _lease.Member.Options;
        var message = new HttpRequestMessage(HttpMethod.Post, _lease.Member.Target.At(_request.IsPlain ? "completions" : "chat/completions"))
        {
            Content = new ReadOnlyMemoryContent(_request.ToJson(_model.Options, target)),
        };
        message.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        message.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("text/event-stream"));
        _lease.Member.Key?.Sign(message);
        return message;
    }

    // What the caller can mend is told to the caller. A key or a name that the upstream does not know is the operator's to mend.
    private async Task<FlintException> RefusalAsync(HttpResponseMessage response)
    {
        switch (response.StatusCode)
        {
            case HttpStatusCode.BadRequest or HttpStatusCode.RequestEntityTooLarge or HttpStatusCode.UnprocessableEntity:
                return UpstreamFault.Refused(await ReadMessageAsync(response));
            case HttpStatusCode.TooManyRequests:
                TimeSpan wait = response.Headers.RetryAfter?.Delta ?? TimeSpan.FromSeconds(1);
                return UpstreamFault.Unavailable(_model.Name, retryAfter: wait < LongestRetry ? wait : LongestRetry);
            default:
                return UpstreamFault.Failed(_model.Name, $"answered with status {(int)response.StatusCode}");
        }
    }

    private async Task<string> ReadMessageAsync(HttpResponseMessage response)
    {
        const string unknown = "it does not say why.";
        var bytes = new byte[MaxErrorBytes];
        int length = await (await response.Content.ReadAsStreamAsync(_deadline.Token)).ReadAtLeastAsync(bytes, bytes.Length, throwOnEndOfStream: false, _deadline.Token);
        try
        {
            using JsonDocument document = JsonDocument.Parse(bytes.AsMemory(0, length));
            JsonElement root = document.RootElement;
            if (root.ValueKind == JsonValueKind.Object && root.TryGetProperty("error", out JsonElement error))
                root = error;
            if (root.ValueKind == JsonValueKind.String)
                return Clean(root.GetString()!);
            foreach (string name in (string[])["message", "detail"])
            {
                if (root.ValueKind == JsonValueKind.Object && root.TryGetProperty(name, out JsonElement text) && text.ValueKind == JsonValueKind.String)
                    return Clean(text.GetString()!);
            }

            return unknown;
        }
        catch (Exception fault) when (fault is JsonException or InvalidOperationException)
        {
            return unknown;
        }
    }

    // Where an upstream is, what it is called there and what opens it is not the caller's to know.
    private string Clean(string message)
    {
        TargetOptions target = _lease.Member.Options;
        message = _lease.Member.Key?.Strike(message) ?? message;
        message = Address().Replace(message, "[address]");
        message = message.Replace(target.BaseUrl.Authority, "[address]", StringComparison.OrdinalIgnoreCase).Replace(target.BaseUrl.Host, "[address]", StringComparison.OrdinalIgnoreCase);
        if (target.Model != _model.Name)
            message = message.Replace(target.Model, _model.Name, StringComparison.Ordinal);
        message = string.Concat(message.Select(c => char.IsControl(c) ? ' ' : c));
        return message.Length <= MaxMessage ? message : message[..MaxMessage] + "…";
    }

    [GeneratedRegex(@"[A-Za-z][A-Za-z0-9+.\-]*://[^\s""'<>]+")]
    private static partial Regex Address();
}
