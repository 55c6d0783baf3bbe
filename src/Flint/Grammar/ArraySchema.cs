using System.Numerics;
using System.Text;
using System.Text.Json;

namespace Flint.Grammar;

/// <summary>Arrays as schemas tell them.</summary>
/// <param name="json">Makes the expressions.</param>
/// <param name="reader">Reads the schemas of items.</param>
/// <param name="valueOf">The values of schemas that hold at once.</param>
internal sealed class ArraySchema(JsonLanguage json, SchemaReader reader, Func<List<SchemaNode>, Language> valueOf)
{
    private const int MaxFirstItems = 1024;
    private const int MaxCounted = 4096; // items read, times items that are counted
    private const int MaxDistinct = 256;

    private readonly Automaton _automaton = json.Automaton;

    private Language Close => _automaton.Literal("]"u8);

    /// <summary>The arrays of a shape.</summary>
    /// <exception cref="FlintException">Caller: what is said of them cannot be enforced.</exception>
    public Language Of(SchemaShape shape)
    {
        if (shape.MaxItems < shape.MinItems)
            return _automaton.Nothing;
        if (shape.Unique is { } path && shape.MaxItems > 1)
        {
            return Distinct(shape) ?? throw FlintException.Caller(
                "unsupported_schema", $"The schema's keyword 'uniqueItems' at {path} cannot be enforced, but where the items are listed strings, true, false and null.");
        }

        if (shape.MaxItems == 0)
            return shape.Contains.Any(one => one.Least > 0) ? _automaton.Nothing : _automaton.Then(_automaton.Literal("["u8), json.Space, Close);
        return shape.Contains.Count > 0 ? Counted(shape) : Plain(shape);
    }

    private static int FirstItems(SchemaShape shape) => Math.Min(shape.Items.Select(rules => rules.First.Count).DefaultIfEmpty(0).Max(), shape.MaxItems);

    private Language Plain(SchemaShape shape)
    {
        int first = FirstItems(shape);
        if (first > MaxFirstItems)
            throw FlintException.Caller("grammar_too_complex", $"The schema's arrays have more than {MaxFirstItems} items with schemas of their own.");
        Language spacedClose = _automaton.Then(json.Space, Close);
        Language others = _automaton.Then(json.Comma, valueOf(Item(shape, int.MaxValue)));
        int most = shape.MaxItems == Language.Unlimited ? Language.Unlimited : shape.MaxItems - Math.Max(1, first);
        Language rest = _automaton.Then(_automaton.Repeat(others, Math.Max(0, shape.MinItems - Math.Max(1, first)), most), spacedClose);
        for (int i = first - 1; i >= 1; i--)
        {
            Language more = _automaton.Then(json.Comma, valueOf(Item(shape, i)), rest);
            rest = i >= shape.MinItems ? _automaton.Either(spacedClose, more) : more;
        }

        Language some = _automaton.Then(valueOf(Item(shape, 0)), rest);
        return _automaton.Then(_automaton.Literal("["u8), json.Space, shape.MinItems == 0 ? _automaton.Either(Close, some) : some);
    }

    /// <summary>Arrays that have so many items of a certain kind: a rule for each number of items read and of those that were counted.</summary>
    private Language Counted(SchemaShape shape)
    {
        if (shape.Contains is not [(SchemaNode kind, int least, int most)])
            throw SchemaReader.Unsupported(shape.Contains[1].Schema, "contains", "it stands twice beside itself");
        int items = shape.MaxItems == Language.Unlimited ? Math.Max(FirstItems(shape), shape.MinItems) : shape.MaxItems;
        int counted = most == Language.Unlimited ? least : most;
        if ((items + 1L) * (counted + 1) > MaxCounted)
            throw FlintException.Caller("grammar_too_complex", $"The schema's keyword 'contains' at {kind.Path} counts too much: {items} items, and {counted} of its own.");
        var states = new Language?[items + 1, counted + 1];
        return _automaton.Then(_automaton.Literal("["u8), json.Space, _automaton.Either(CanClose(0, 0) ? Close : _automaton.Nothing, More(0, 0)));

        bool CanClose(int read, int held) => read >= shape.MinItems && held >= least;

        Language Behind(int read, int held)
        {
            (read, held) = (Math.Min(read, items), Math.Min(held, counted));
            return states[read, held] ??= _automaton.Rule(() => _automaton.Either(
                CanClose(read, held) ? _automaton.Then(json.Space, Close) : _automaton.Nothing, _automaton.Then(json.Comma, More(read, held))));
        }

        Language More(int read, int held)
        {
            if (read >= shape.MaxItems)
                return _automaton.Nothing;
            List<SchemaNode> any = Item(shape, read);
            // Where no more than so many may be of the kind, it has to be known of each; else those that need not be are any.
            Language other = most == Language.Unlimited ? valueOf(any) : valueOf([.. any, kind.Negated()]);
            Language rest = _automaton.Then(other, Behind(read + 1, held));
            return held >= counted ? rest : _automaton.Either(rest, _automaton.Then(valueOf([.. any, kind]), Behind(read + 1, held + 1)));
        }
    }

    /// <summary>Arrays in which no item comes twice, of listed items none of which begins as another does; null for others.</summary>
    private Language? Distinct(SchemaShape shape)
    {
        List<SchemaNode> schemas = Item(shape, int.MaxValue);
        if (FirstItems(shape) > 0 || schemas.Count == 0 || shape.Contains.Count > 0)
            return null;
        List<SchemaShape> items = reader.Read(schemas);
        if (!items.TrueForAll(one => one.Values is not null))
            return null;
        JsonElement[] values = [.. items.SelectMany(one => one.Values!)];
        if (values.Length > MaxDistinct || !Array.TrueForAll(values, one => one.ValueKind is JsonValueKind.String or JsonValueKind.True or JsonValueKind.False or JsonValueKind.Null))
            return null;
        Language valid = valueOf(schemas);
        ObjectMember[] members =
        [
            .. values.DistinctBy(one => (one.ValueKind, one.ValueKind == JsonValueKind.String ? one.GetString() : null))
                .Select(one => one.ValueKind == JsonValueKind.String ? json.Quoted(one.GetString()!) : Encoding.ASCII.GetBytes(one.GetRawText()))
                .Where(one => _automaton.Accepts(valid, one)).Select(one => new ObjectMember(one, _automaton.Empty, IsRequired: false)),
        ];
        if (members.Length < shape.MinItems)
            return _automaton.Nothing;
        var limits = new ObjectLimits(shape.MinItems, shape.MaxItems, IsAnyOrder: true);
        return new ObjectShape(json, members, new BigInteger[members.Length], [], limits, isArray: true).Open();
    }

    private static List<SchemaNode> Item(SchemaShape shape, int index)
    {
        var schemas = new List<SchemaNode>();
        foreach (ItemRules rules in shape.Items)
        {
            if (index < rules.First.Count)
                schemas.Add(rules.First[index]);
            else if (rules.Others is { } others)
                schemas.Add(others);
        }

        return schemas;
    }
}
