namespace Flint.Dialects;

/// <summary>Everything is the answer; control tokens are left out.</summary>
internal sealed class PlainParser(ResponseParserOptions options, Func<int, bool> isControl) : ResponseParser(options, isControl)
{
    private protected override bool InReasoning => false;

    private protected override void OnText(ReadOnlySpan<char> text) => Emit(ResponseDeltaKind.Content, text);

    private protected override void OnControl(string text)
    {
        // Not for the reader.
    }

    private protected override void OnFinish()
    {
        // Nothing is kept back.
    }
}
