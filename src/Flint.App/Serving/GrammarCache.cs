using Flint.Dialects;
using Flint.Grammar;

namespace Flint.App.Serving;

/// <summary>The grammars that answers of a model were held to last, with the states that they have found. Safe for several threads.</summary>
internal sealed class GrammarCache
{
    /// <summary>The most grammars that are kept.</summary>
    public const int MaxKept = 32;

    private readonly Lock _gate = new();
    private readonly LinkedList<(string Key, TokenGrammar Grammar)> _kept = new(); // the latest first
    private readonly ServedModel _model;
    private readonly Lazy<TokenVocabulary> _vocabulary;

    /// <summary>A cache without grammars.</summary>
    public GrammarCache(ServedModel model)
    {
        _model = model;
        _vocabulary = new Lazy<TokenVocabulary>(() => Dialect.VocabularyOf(model.Tokenizer, model.Model.Config.VocabularySize));
    }

    /// <summary>The grammar of responses under some rules.</summary>
    /// <exception cref="FlintException">Caller: a schema or grammar cannot be enforced, or the chat format cannot force a call.</exception>
    public TokenGrammar Find(ResponseRules rules)
    {
        string key = rules.Key();
        lock (_gate)
        {
            for (LinkedListNode<(string Key, TokenGrammar Grammar)>? node = _kept.First; node is not null; node = node.Next)
            {
                if (node.Value.Key != key)
                    continue;
                _kept.Remove(node);
                _kept.AddFirst(node);
                return node.Value.Grammar;
            }
        }

        TokenGrammar grammar = _model.Dialect.CreateGrammar(_vocabulary.Value, rules);
        lock (_gate)
        {
            _kept.AddFirst((key, grammar));
            if (_kept.Count > MaxKept)
                _kept.RemoveLast();
        }

        return grammar;
    }
}
