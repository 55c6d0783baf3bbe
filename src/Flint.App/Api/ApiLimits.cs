namespace Flint.App.Api;

/// <summary>What the server takes at most, in one place. Each is tested at the limit and one past it.</summary>
internal static class ApiLimits
{
    /// <summary>Bytes of a request body.</summary>
    public const int MaxBodyBytes = 16 * 1024 * 1024;

    /// <summary>Seconds in which a client must send a body.</summary>
    public const int BodySeconds = 120;

    /// <summary>Bytes a second that a client must send of a body on average, once the first <see cref="BodyGraceSeconds"/> are over.</summary>
    public const int MinBodyRate = 240;

    /// <summary>Seconds in which a body may be as slow as it likes.</summary>
    public const int BodyGraceSeconds = 5;

    /// <summary>Bytes of all bodies that are being read, but for small ones; who sends more is told to try again.</summary>
    public const long MaxBodiesBytes = 16L * MaxBodyBytes;

    /// <summary>Bytes of a small body.</summary>
    public const int SmallBodyBytes = 64 * 1024;

    /// <summary>Levels of nesting in a body.</summary>
    public const int MaxJsonDepth = 64;

    /// <summary>Bytes of all request headers.</summary>
    public const int MaxHeaderBytes = 32 * 1024;

    /// <summary>Seconds in which a client must send its headers.</summary>
    public const int HeaderSeconds = 15;

    /// <summary>Connections at once; further ones are closed at once.</summary>
    public const int MaxConnections = 4096;

    /// <summary>Messages of a chat.</summary>
    public const int MaxMessages = 4096;

    /// <summary>Content parts of a message.</summary>
    public const int MaxParts = 1024;

    /// <summary>Tools of a request, and tool calls of a message.</summary>
    public const int MaxTools = 128;

    /// <summary>Characters of a tool's name.</summary>
    public const int MaxToolName = 64;

    /// <summary>Characters of a tool's name in the Anthropic API.</summary>
    public const int MaxAnthropicToolName = 128;

    /// <summary>Choices per prompt (<c>n</c>).</summary>
    public const int MaxChoices = 128;

    /// <summary>Prompts of one completions request.</summary>
    public const int MaxPrompts = 128;

    /// <summary>Inputs of one embeddings request.</summary>
    public const int MaxEmbeddingInputs = 2048;

    /// <summary>Of them, computed at once.</summary>
    public const int MaxEmbeddingsAtOnce = 32;

    /// <summary>Stop strings.</summary>
    public const int MaxStops = 16;

    /// <summary>Alternatives per token in log-probabilities.</summary>
    public const int MaxTopLogprobs = 20;

    /// <summary>Entries of <c>include</c>.</summary>
    public const int MaxIncludes = 16;

    /// <summary>Seconds of an answer's deadline.</summary>
    public const int MaxDeadlineSeconds = 86_400;

    /// <summary>Entries of <c>logit_bias</c>.</summary>
    public const int MaxLogitBiases = 1024;

    /// <summary>Bytes of the items asked with a response that is to be kept.</summary>
    public const int MaxStoredInputBytes = 4 * 1024 * 1024;

    /// <summary>Pairs of <c>metadata</c>.</summary>
    public const int MaxMetadata = 16;

    /// <summary>Characters of a name in <c>metadata</c>.</summary>
    public const int MaxMetadataName = 64;

    /// <summary>Characters of a value in <c>metadata</c>, and of other strings that are only told back.</summary>
    public const int MaxLabel = 512;

    /// <summary>Responses that go on without their clients at once.</summary>
    public const int MaxBackground = 32;

    /// <summary>Bytes of the events of such a response that are kept for its listeners.</summary>
    public const int MaxBackgroundEvents = 16 * 1024 * 1024;

    /// <summary>Records that the admin API tells at once.</summary>
    public const int MaxRecords = 1000;

    /// <summary>Items of one page of a list.</summary>
    public const int MaxPage = 100;
}
