using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Flint.App.Api;

/// <summary>One request that is being answered, as other requests can reach it.</summary>
/// <param name="id">The id its response carries.</param>
/// <param name="path">Its route.</param>
/// <param name="created">When it arrived, Unix seconds.</param>
/// <param name="key">The key that pays; null where the server runs without keys.</param>
internal sealed class RunningRequest(string id, string path, long created, long? key)
{
    private volatile IReadOnlyList<ChatChoice> _choices = [];

    /// <summary>How many have yet to leave it; the list of running requests counts them.</summary>
    public int Holders { get; set; } = 1;

    /// <summary>The id its response carries.</summary>
    public string Id => id;

    /// <summary>Its route.</summary>
    public string Path => path;

    /// <summary>When it arrived, Unix seconds.</summary>
    public long Created => created;

    /// <summary>The key that pays; null where the server runs without keys.</summary>
    public long? Key => key;

    /// <summary>The choices of a chat that is being generated; none for other requests.</summary>
    public IReadOnlyList<ChatChoice> Choices
    {
        get => _choices;
        set => _choices = value;
    }

    /// <summary>The request itself, of a metered route.</summary>
    public static RunningRequest Of(HttpContext context) => context.Features.GetRequiredFeature<RunningRequest>();

    /// <summary>Has the model end its thoughts and answer, in every choice.</summary>
    /// <returns>False where it has none now.</returns>
    public bool EndThinking()
    {
        bool any = false;
        foreach (ChatChoice choice in Choices)
            any |= choice.EndThinking();
        return any;
    }
}

/// <summary>The requests that are being answered, by their ids. Any thread.</summary>
/// <param name="capacity">How many are kept at most; one more is answered too, but cannot be reached.</param>
internal sealed class RunningRequests(int capacity)
{
    private readonly Dictionary<string, RunningRequest> _running = [];

    /// <summary>Adds a request.</summary>
    /// <returns>Whether there was room.</returns>
    public bool Enter(RunningRequest request)
    {
        lock (_running)
            return _running.Count < capacity && _running.TryAdd(request.Id, request);
    }

    /// <summary>Has a request stay until one more has left it: its connection may end before its answer does.</summary>
    public void Hold(RunningRequest request)
    {
        lock (_running)
            request.Holders++;
    }

    /// <summary>Leaves a request; the last takes it out.</summary>
    public void Leave(RunningRequest request)
    {
        lock (_running)
        {
            if (--request.Holders == 0 && _running.TryGetValue(request.Id, out RunningRequest? found) && found == request)
                _running.Remove(request.Id);
        }
    }

    /// <summary>The request of an id, where the key is its own; else null.</summary>
    public RunningRequest? Find(string id, long? key)
    {
        lock (_running)
            return _running.TryGetValue(id, out RunningRequest? found) && found.Key == key ? found : null;
    }

    /// <summary>The requests of a key, in order of their arrival.</summary>
    public List<RunningRequest> Of(long? key)
    {
        lock (_running)
            return [.. _running.Values.Where(request => request.Key == key).OrderBy(request => request.Created).ThenBy(request => request.Id, StringComparer.Ordinal)];
    }
}
