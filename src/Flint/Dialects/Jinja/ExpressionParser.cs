namespace Flint.Dialects;

/// <content>Expressions, in rising order of precedence.</content>
internal sealed partial class Parser
{
    /// <summary>Operands in one chain of operators, filters or members.</summary>
    private const int MaxChain = 2000;

    /// <summary>An expression, or a tuple of them without parentheses.</summary>
    private Expression ParseTuple(bool withCondition, string? until = null, bool parenthesized = false)
    {
        int line = Current.Line;
        var items = new List<Expression>();
        bool tuple = false;
        while (true)
        {
            if (Current.Kind is TokenKind.VariableEnd or TokenKind.BlockEnd || Current.IsOperator(")") || (until is not null && Current.IsName(until)))
                break;
            items.Add(withCondition ? ParseExpression() : ParseOr());
            if (!TakeOperator(","))
                break;
            tuple = true;
        }

        if (!tuple && items.Count == 1)
            return items[0];
        if (!tuple && !parenthesized)
            throw Fail($"Expected an expression, got '{Current.Describe()}'");
        return new SequenceExpression([.. items], true, line);
    }

    private Expression ParseExpression()
    {
        Enter();
        int line = Current.Line;
        Expression value = ParseOr();
        for (int n = 0; TakeName("if"); n++)
        {
            CheckChain(n);
            Expression test = ParseOr();
            Expression? otherwise = TakeName("else") ? ParseExpression() : null;
            value = new ConditionExpression(test, value, otherwise, line);
            line = Current.Line;
        }

        depth--;
        return value;
    }

    private void CheckChain(int length)
    {
        if (length >= MaxChain)
            throw Fail($"an expression may chain {MaxChain} operators");
    }

    private Expression ParseOr()
    {
        Expression left = ParseAnd();
        for (int n = 0; Current.IsName("or"); n++)
        {
            CheckChain(n);
            int line = Take().Line;
            left = new LogicExpression(false, left, ParseAnd(), line);
        }

        return left;
    }

    private Expression ParseAnd()
    {
        Expression left = ParseNot();
        for (int n = 0; Current.IsName("and"); n++)
        {
            CheckChain(n);
            int line = Take().Line;
            left = new LogicExpression(true, left, ParseNot(), line);
        }

        return left;
    }

    private Expression ParseNot()
    {
        if (!Current.IsName("not"))
            return ParseCompare();
        Enter();
        int line = Take().Line;
        var node = new NotExpression(ParseNot(), line);
        depth--;
        return node;
    }

    private Expression ParseCompare()
    {
        int line = Current.Line;
        Expression first = ParseSum();
        List<KeyValuePair<string, Expression>>? rest = null;
        while (true)
        {
            string? op = null;
            if (Current.Kind == TokenKind.Operator && Current.Text is "==" or "!=" or "<" or "<=" or ">" or ">=")
                op = Take().Text;
            else if (TakeName("in"))
                op = "in";
            else if (Current.IsName("not") && Following.IsName("in"))
                (op, position) = ("not in", position + 2);
            if (op is null)
                break;
            (rest ??= []).Add(new(op, ParseSum()));
        }

        return rest is null ? first : new CompareExpression(first, [.. rest], line);
    }

    private Expression ParseSum()
    {
        Expression left = ParseConcat();
        for (int n = 0; Current.Kind == TokenKind.Operator && Current.Text is "+" or "-"; n++)
        {
            CheckChain(n);
            Token op = Take();
            left = new BinaryExpression(op.Text, left, ParseConcat(), op.Line);
        }

        return left;
    }

    private Expression ParseConcat()
    {
        int line = Current.Line;
        Expression first = ParseProduct();
        if (!Current.IsOperator("~"))
            return first;
        var items = new List<Expression> { first };
        while (TakeOperator("~"))
            items.Add(ParseProduct());
        return new ConcatExpression([.. items], line);
    }

    private Expression ParseProduct()
    {
        Expression left = ParsePower();
        for (int n = 0; Current.Kind == TokenKind.Operator && Current.Text is "*" or "/" or "//" or "%"; n++)
        {
            CheckChain(n);
            Token op = Take();
            left = new BinaryExpression(op.Text, left, ParsePower(), op.Line);
        }

        return left;
    }

    private Expression ParsePower()
    {
        Expression left = ParseUnary(true);
        for (int n = 0; Current.IsOperator("**"); n++)
        {
            CheckChain(n);
            int line = Take().Line;
            left = new BinaryExpression("**", left, ParseUnary(true), line);
        }

        return left;
    }

    private Expression ParseUnary(bool withFilter)
    {
        Expression node;
        if (Current.Kind == TokenKind.Operator && Current.Text is "-" or "+")
        {
            Enter();
            Token op = Take();
            node = new UnaryExpression(op.Text == "-", ParseUnary(false), op.Line);
            depth--;
        }
        else
        {
            node = ParsePrimary();
        }

        node = ParsePostfix(node);
        return withFilter ? ParseFilterExpression(node) : node;
    }

    private Expression ParsePrimary()
    {
        Token token = Current;
        switch (token.Kind)
        {
            case TokenKind.Name:
                Take();
                return token.Text switch
                {
                    "true" or "True" => new ConstantExpression(Integers.True, token.Line),
                    "false" or "False" => new ConstantExpression(Integers.False, token.Line),
                    "none" or "None" => new ConstantExpression(null, token.Line),
                    _ => new NameExpression(token.Text, token.Line),
                };
            case TokenKind.Text:
                string text = "";
                while (Current.Kind == TokenKind.Text)
                    text += Take().Text;
                Constants.Add(text);
                return new ConstantExpression(text, token.Line);
            case TokenKind.Integer or TokenKind.Float:
                return new ConstantExpression(Take().Value, token.Line);
            case TokenKind.Operator when token.Text == "(":
                Take();
                Enter();
                Expression inner = ParseTuple(true, null, true);
                depth--;
                ExpectOperator(")");
                return inner;
            case TokenKind.Operator when token.Text == "[":
                return ParseList();
            case TokenKind.Operator when token.Text == "{":
                return ParseDict();
            default:
                throw Fail($"unexpected '{token.Describe()}'");
        }
    }

    private SequenceExpression ParseList()
    {
        int line = Take().Line;
        var items = new List<Expression>();
        while (!Current.IsOperator("]"))
        {
            if (items.Count > 0)
                ExpectOperator(",");
            if (Current.IsOperator("]"))
                break;
            items.Add(ParseExpression());
        }

        ExpectOperator("]");
        return new SequenceExpression([.. items], false, line);
    }

    private DictExpression ParseDict()
    {
        int line = Take().Line;
        var entries = new List<KeyValuePair<Expression, Expression>>();
        while (!Current.IsOperator("}"))
        {
            if (entries.Count > 0)
                ExpectOperator(",");
            if (Current.IsOperator("}"))
                break;
            Expression key = ParseExpression();
            ExpectOperator(":");
            entries.Add(new(key, ParseExpression()));
        }

        ExpectOperator("}");
        return new DictExpression([.. entries], line);
    }

    private Expression ParsePostfix(Expression node)
    {
        for (int n = 0; Current.Kind == TokenKind.Operator; n++)
        {
            CheckChain(n);
            if (Current.Text == ".")
                node = ParseMember(node);
            else if (Current.Text == "[")
                node = ParseSubscript(node);
            else if (Current.Text == "(")
                node = ParseCall(node);
            else
                break;
        }

        return node;
    }

    private Expression ParseFilterExpression(Expression node)
    {
        for (int n = 0; ; n++)
        {
            CheckChain(n);
            if (TakeOperator("|"))
                node = ParseFilter(node);
            else if (Current.IsName("is"))
                node = ParseTest(node);
            else if (Current.IsOperator("("))
                node = ParseCall(node);
            else
                return node;
        }
    }

    private Expression ParseMember(Expression owner)
    {
        int line = Take().Line;
        Token member = Take();
        return member.Kind switch
        {
            TokenKind.Name => new AttributeExpression(owner, member.Text, line),
            TokenKind.Integer => new ItemExpression(owner, new ConstantExpression(member.Value, member.Line), line),
            _ => throw Fail("expected name or number", member.Line),
        };
    }

    private Expression ParseSubscript(Expression owner)
    {
        int line = Take().Line;
        var items = new List<Expression>();
        bool single = true;
        while (!Current.IsOperator("]"))
        {
            if (items.Count > 0)
            {
                ExpectOperator(",");
                single = false;
            }

            Expression? start = Current.IsOperator(":") ? null : ParseExpression();
            if (!TakeOperator(":"))
            {
                items.Add(start!);
                continue;
            }

            Expression? stop = Current.IsOperator(":") || Current.IsOperator("]") || Current.IsOperator(",") ? null : ParseExpression();
            Expression? step = TakeOperator(":") && !Current.IsOperator("]") && !Current.IsOperator(",") ? ParseExpression() : null;
            if (!single || !Current.IsOperator("]"))
                throw Fail("a slice must be the only subscript");
            Take();
            return new SliceExpression(owner, start, stop, step, line);
        }

        ExpectOperator("]");
        Expression key = items.Count == 1 ? items[0] : new SequenceExpression([.. items], true, line);
        return new ItemExpression(owner, key, line);
    }

    private CallExpression ParseCall(Expression callee)
    {
        int line = Current.Line;
        return new CallExpression(callee, ParseArguments(), line);
    }

    private ArgumentList ParseArguments()
    {
        int line = Current.Line;
        ExpectOperator("(");
        var positional = new List<Expression>();
        var named = new List<KeyValuePair<string, Expression>>();
        Expression? rest = null, namedRest = null;
        bool first = true;
        void Ensure(bool allowed)
        {
            if (!allowed)
                throw Fail("invalid syntax for function call expression", line);
        }

        while (!Current.IsOperator(")"))
        {
            if (!first)
            {
                ExpectOperator(",");
                if (Current.IsOperator(")"))
                    break;
            }

            first = false;
            if (TakeOperator("*"))
            {
                Ensure(rest is null && namedRest is null);
                rest = ParseExpression();
            }
            else if (TakeOperator("**"))
            {
                Ensure(namedRest is null);
                namedRest = ParseExpression();
            }
            else if (Current.Kind == TokenKind.Name && Following.IsOperator("="))
            {
                Ensure(namedRest is null);
                string key = Take().Text;
                Take();
                if (named.Exists(n => n.Key == key))
                    throw Fail($"keyword argument repeated: {key}", line);
                named.Add(new(key, ParseExpression()));
            }
            else
            {
                Ensure(rest is null && namedRest is null && named.Count == 0);
                positional.Add(ParseExpression());
            }
        }

        ExpectOperator(")");
        return new ArgumentList([.. positional], [.. named], rest, namedRest);
    }

    /// <summary>A dotted name, as filters and tests may have.</summary>
    private string ParseDottedName(out int line)
    {
        Token token = ExpectIdentifier();
        line = token.Line;
        string name = token.Text;
        while (TakeOperator("."))
            name += "." + ExpectIdentifier().Text;
        return name;
    }

    private FilterExpression ParseFilter(Expression value)
    {
        string name = ParseDottedName(out int line);
        ArgumentList arguments = Current.IsOperator("(") ? ParseArguments() : ArgumentList.Empty;
        return new FilterExpression(value, name, arguments, line);
    }

    /// <summary>Any further filters, each behind a bar.</summary>
    private Expression ParseFilters(Expression value)
    {
        for (int n = 0; TakeOperator("|"); n++)
        {
            CheckChain(n);
            value = ParseFilter(value);
        }

        return value;
    }

    private Expression ParseTest(Expression value)
    {
        int line = Take().Line;
        bool negated = TakeName("not");
        string name = ParseDottedName(out _);
        ArgumentList arguments = ArgumentList.Empty;
        if (Current.IsOperator("("))
        {
            arguments = ParseArguments();
        }
        else if (StartsTestArgument())
        {
            if (Current.IsName("is"))
                throw Fail("You cannot chain multiple tests with is");
            arguments = ArgumentList.Of(ParsePostfix(ParsePrimary()));
        }

        Expression test = new TestExpression(value, name, arguments, line);
        return negated ? new NotExpression(test, line) : test;
    }

    private bool StartsTestArgument() => Current.Kind switch
    {
        TokenKind.Name => Current.Text is not ("else" or "or" or "and"),
        TokenKind.Text or TokenKind.Integer or TokenKind.Float => true,
        TokenKind.Operator => Current.Text is "[" or "{",
        _ => false,
    };
}
