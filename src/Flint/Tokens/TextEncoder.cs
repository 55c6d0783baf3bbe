namespace Flint.Tokens;

/// <summary>Turns plain text (no special tokens) into ids.</summary>
internal abstract class TextEncoder
{
    /// <summary>Appends the ids of a text to the worker's.</summary>
    /// <param name="text">Text without lone surrogates.</param>
    /// <param name="atStart">Whether it begins the input or follows a special token.</param>
    /// <param name="worker">Working space and result.</param>
    public abstract void Encode(ReadOnlySpan<char> text, bool atStart, EncodeWorker worker);

    /// <summary>Appends the ids of the piece [start, end), from the cache where it is known.</summary>
    protected void EncodePiece(ReadOnlySpan<char> text, int start, int end, EncodeWorker worker)
    {
        int length = end - start;
        if (length > WordCache.LongestPiece)
        {
            EncodeNewPiece(text[start..end], worker);
            return;
        }
        WordCache.Key key = WordCache.KeyOf(text, start, length);
        if (worker.Cache.TryGet(key, worker.Ids)) return;
        int before = worker.Ids.Count;
        EncodeNewPiece(text[start..end], worker);
        ReadOnlySpan<int> ids = worker.Ids.Ids[before..];
        if (ids.Length <= WordCache.MostIds) worker.Cache.Put(key, ids);
    }

    /// <summary>Appends the ids of a piece that is not in the cache.</summary>
    protected abstract void EncodeNewPiece(ReadOnlySpan<char> piece, EncodeWorker worker);
}
